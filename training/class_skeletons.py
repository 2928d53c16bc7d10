"""Skeletons of everyday classes for `training.grammar`; every method in the first line becomes a function to repair."""

CLASS_TEXT = r"""
#@ class Stack(): push int; pop ; peek ; size ; is_empty
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        return len(self.items)

    def pop(self):
        if not self.items:
            <<raise IndexError("empty stack")||return None>>
        return self.items.pop()

    def peek(self):
        if self.is_empty():
            return None
        return self.items[-1]

    def size(self):
        return len(self.items)

    def is_empty(self):
        return <<len(self.items) == 0||not self.items>>
---
#@ class Queue(): put int; get ; front ; size
class Queue:
    def __init__(self):
        self.data = []
        self.head = 0

    def put(self, value):
        self.data.append(value)
        return self.size()

    def get(self):
        if self.head >= len(self.data):
            return None
        value = self.data[self.head]
        self.head += 1
        return value

    def front(self):
        if self.size() == 0:
            return None
        return self.data[self.head]

    def size(self):
        return len(self.data) - self.head
---
#@ class Account(int): deposit int; withdraw int; available ; transfer_fee int
class Account:
    def __init__(self, balance):
        self.balance = balance
        self.history = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance += amount
        self.history.append(amount)
        return self.balance

    def withdraw(self, amount):
        if amount <= 0 or amount > self.balance:
            return <<False||None>>
        self.balance -= amount
        self.history.append(-amount)
        return self.balance

    def available(self):
        return max(self.balance, 0)

    def transfer_fee(self, amount):
        fee = amount // <<10||20>>
        if fee < 1:
            fee = 1
        return min(fee, <<5||10>>)
---
#@ class Cart(): add word pos; remove word; total counts; count ; names
class Cart:
    def __init__(self):
        self.items = {}

    def add(self, name, quantity):
        <<self.items[name] = self.items.get(name, 0) + quantity||if name in self.items:
            self.items[name] += quantity
        else:
            self.items[name] = quantity>>
        return self.items[name]

    def remove(self, name):
        if name not in self.items:
            return False
        self.items[name] -= 1
        if self.items[name] == 0:
            del self.items[name]
        return True

    def total(self, prices):
        total = 0
        for name, quantity in self.items.items():
            total += prices.get(name, <<0||1||2>>) * quantity
        return total

    def count(self):
        return sum(self.items.values())

    def names(self):
        return sorted(self.items)
---
#@ class Counter(small): increment ; decrement ; reset ; add int; current
class Counter:
    def __init__(self, start):
        self.start = start
        self.value = start

    def increment(self):
        self.value += 1
        return self.value

    def decrement(self):
        if self.value > 0:
            self.value -= 1
        return self.value

    def reset(self):
        old = self.value
        self.value = self.start
        return old

    def add(self, amount):
        self.value += amount
        return self.value

    def current(self):
        return self.value
---
#@ class Interval(small pos): contains int; length ; overlaps int int; shift int
class Interval:
    def __init__(self, start, size):
        self.start = start
        self.end = start + size

    def contains(self, point):
        return self.start <= point <<<||<=>> self.end

    def length(self):
        return self.end - self.start

    def overlaps(self, start, end):
        return self.start < end and start < self.end

    def shift(self, amount):
        self.start += amount
        self.end += amount
        return (self.start, self.end)
---
#@ class Cache(pos): put word int; get word; keys ; hits_rate
class Cache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.data = {}
        self.hits = 0
        self.misses = 0

    def put(self, key, value):
        if key in self.data:
            del self.data[key]
        elif len(self.data) >= self.capacity:
            oldest = next(iter(self.data))
            del self.data[oldest]
        self.data[key] = value
        return len(self.data)

    def get(self, key):
        if key not in self.data:
            self.misses += 1
            return None
        self.hits += 1
        value = self.data.pop(key)
        self.data[key] = value
        return value

    def keys(self):
        return list(self.data)

    def hits_rate(self):
        total = self.hits + self.misses
        if total == 0:
            return 0
        return self.hits / total
---
#@ class Matrix(matrix): row small; column small; shape ; scale int; total
class Matrix:
    def __init__(self, rows):
        self.rows = rows

    def row(self, index):
        if index >= len(self.rows):
            return []
        return self.rows[index]

    def column(self, index):
        if index >= len(self.rows[0]):
            return []
        return [row[index] for row in self.rows]

    def shape(self):
        return (len(self.rows), len(self.rows[0]))

    def scale(self, factor):
        return [[factor * cell for cell in row] for row in self.rows]

    def total(self):
        return sum(sum(row) for row in self.rows)
---
#@ class Inventory(counts): restock word pos; sell word pos; low small; total ; rename word word
class Inventory:
    def __init__(self, stock):
        self.stock = dict(stock)

    def restock(self, name, amount):
        if amount <= 0:
            raise ValueError("amount")
        self.stock[name] = self.stock.get(name, 0) + amount
        return self.stock[name]

    def sell(self, name, amount):
        have = self.stock.get(name, 0)
        if amount > have:
            return False
        self.stock[name] = have - amount
        return True

    def low(self, limit):
        return sorted(name for name, have in self.stock.items() if have <<<||<=>> limit)

    def total(self):
        return sum(self.stock.values())

    def rename(self, old, new):
        if old not in self.stock or new in self.stock:
            return False
        self.stock[new] = self.stock.pop(old)
        return True
---
#@ class Point(int int): add int int; distance int int; scaled int; as_tuple ; quadrant
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def add(self, dx, dy):
        self.x += dx
        self.y += dy
        return (self.x, self.y)

    def distance(self, x, y):
        return abs(self.x - x) + abs(self.y - y)

    def scaled(self, factor):
        return (self.x * factor, self.y * factor)

    def as_tuple(self):
        return (self.x, self.y)

    def quadrant(self):
        if self.x == 0 or self.y == 0:
            return 0
        if self.x > 0:
            return 1 if self.y > 0 else 4
        return 2 if self.y > 0 else 3
---
#@ class Scores(): record word nat; best ; average word; ranking ; count word
class Scores:
    def __init__(self):
        self.scores = {}

    def record(self, name, score):
        self.scores.setdefault(name, []).append(score)
        return max(self.scores[name])

    def best(self):
        best = None
        for name in self.scores:
            top = max(self.scores[name])
            if best is None or top > best[1]:
                best = (name, top)
        return best

    def average(self, name):
        if name not in self.scores:
            return 0
        values = self.scores[name]
        return sum(values) / len(values)

    def ranking(self):
        return sorted(self.scores, key=lambda name: -max(self.scores[name]))

    def count(self, name):
        return len(self.scores.get(name, []))
---
#@ class Buffer(pos): write anyword; read small; clear ; full ; left
class Buffer:
    def __init__(self, limit):
        self.limit = limit
        self.text = ""

    def write(self, text):
        room = self.limit - len(self.text)
        self.text += text[:room]
        return len(text) <= room

    def read(self, count):
        part = self.text[:count]
        self.text = self.text[count:]
        return part

    def clear(self):
        size = len(self.text)
        self.text = ""
        return size

    def full(self):
        return len(self.text) >= self.limit

    def left(self):
        return self.limit - len(self.text)
---
#@ class Timer(minutes): advance small; hours ; label ; expired nat; rewind pos
class Timer:
    def __init__(self, minutes):
        self.minutes = minutes

    def advance(self, hours):
        self.minutes = (self.minutes + hours * 60) % 1440
        return self.minutes

    def hours(self):
        return self.minutes // 60

    def label(self):
        return f"{self.minutes // 60}:{self.minutes % 60:02d}"

    def expired(self, limit):
        return self.minutes >= limit

    def rewind(self, minutes):
        if minutes > self.minutes:
            raise ValueError("too far")
        self.minutes -= minutes
        return self.minutes
---
#@ class Tree(): insert int; contains int; depth ; values
class Tree:
    def __init__(self):
        self.root = None

    def insert(self, value):
        if self.root is None:
            self.root = [value, None, None]
            return True
        node = self.root
        while True:
            if value == node[0]:
                return False
            side = 1 if value < node[0] else 2
            if node[side] is None:
                node[side] = [value, None, None]
                return True
            node = node[side]

    def contains(self, value):
        node = self.root
        while node is not None:
            if node[0] == value:
                return True
            node = node[1] if value < node[0] else node[2]
        return False

    def depth(self):
        def measure(node):
            if node is None:
                return 0
            return 1 + max(measure(node[1]), measure(node[2]))

        return measure(self.root)

    def values(self):
        out = []
        stack = [self.root]
        while stack:
            node = stack.pop()
            if node is not None:
                out.append(node[0])
                stack += [node[2], node[1]]
        return sorted(out)
---
#@ class Playlist(words): play ; skip ; add word; current ; upcoming
class Playlist:
    def __init__(self, songs):
        self.songs = list(songs)
        self.position = 0

    def play(self):
        if self.position >= len(self.songs):
            return None
        song = self.songs[self.position]
        self.position += 1
        return song

    def skip(self):
        if not self.songs:
            return 0
        self.position = (self.position + 1) % len(self.songs)
        return self.position

    def add(self, song):
        if song in self.songs:
            return False
        self.songs.append(song)
        return True

    def current(self):
        return self.songs[self.position] if self.position < len(self.songs) else None

    def upcoming(self):
        return self.songs[self.position + 1:]
---
#@ class Rate(pos): allow nat; remaining ; reset nat
class Rate:
    def __init__(self, limit):
        self.limit = limit
        self.used = []

    def allow(self, now):
        self.used = [t for t in self.used if now - t < 60]
        if len(self.used) >= self.limit:
            return False
        self.used.append(now)
        return True

    def remaining(self):
        return max(0, self.limit - len(self.used))

    def reset(self, now):
        kept = [t for t in self.used if t > now]
        removed = len(self.used) - len(kept)
        self.used = kept
        return removed
"""
