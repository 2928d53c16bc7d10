"""Skeletons of everyday functions for `training.grammar`, which documents their notation. Text only."""

# ruff: noqa: E501 - one idiom of a skeleton on one line
from __future__ import annotations

from training.class_skeletons import CLASS_TEXT

_LISTS = r"""
#@ ints int
def <<count||tally||number>>_<<above||over||beyond||matching>>($L, $N):
    <<$R = 0
    for $E in $L:
        if $E <<>||>=||<||==>> $N:
            $R += 1
    return $R||return len([$E for $E in $L if $E <<>||<||>=||!=>> $N])||return sum(1 for $E in $L if $E <<<||<=||>||==>> $N)>>
---
#@ ints
def <<sum||total||add_up>>_<<positive||even||selected||valid||squares>>($L):
    <<$R = 0
    for $E in $L:
        if @P($E):
            $R += @T($E)
    return $R||return sum(@T($E) for $E in $L if @P($E))||$R = 0
    for $I in range(len($L)):
        if @P($L[$I]):
            $R = $R + $L[$I]
    return $R>>
---
#@ ints
def <<keep||filter||select||pick>>_<<values||some||matching||good>>($L):
    <<$R = []
    for $E in $L:
        if @P($E):
            $R.append(@T($E))
    return $R||return [@T($E) for $E in $L if @P($E)]||return list(filter(lambda $E: @P($E), $L))>>
---
#@ ints int
def <<drop||without||remove||reject>>_<<value||all||matching>>($L, $N):
    <<return [$E for $E in $L if $E != $N]||$R = []
    for $E in $L:
        if $E == $N:
            continue
        $R.append($E)
    return $R||$R = list($L)
    while $N in $R:
        $R.remove($N)
    return $R>>
---
#@ ints1
def <<largest||highest||biggest||peak>>($L):
    $R = $L[0]
    for $E in $L[1:]:
        if $E > $R:
            $R = $E
    return $R
---
#@ ints1
def <<smallest||lowest||cheapest>>($L):
    $R = $L[0]
    for $E in $L:
        if $E < $R:
            $R = $E
    return $R
---
#@ ints
def <<spread||value_range||amplitude>>($L):
    if not $L:
        return 0
    return max($L) - min($L)
---
#@ ints
def <<argmax||index_of_largest||position_of_best>>($L):
    if <<not $L||len($L) == 0>>:
        return -1
    $R = 0
    for $I in range(1, len($L)):
        if $L[$I] > $L[$R]:
            $R = $I
    return $R
---
#@ ints int
def <<find||index_of||locate||position>>($L, $N):
    for <<$I, $E in enumerate($L):
        if $E == $N:||$I in range(len($L)):
        if $L[$I] == $N:>>
            return $I
    return <<-1||None>>
---
#@ ints int
def <<last_index||rindex||find_last>>($L, $N):
    for $I in range(len($L) - 1, -1, -1):
        if $L[$I] == $N:
            return $I
    return -1
---
#@ ints int
def <<first||find_first||next>>_<<greater||larger||above>>($L, $N):
    for $E in $L:
        if $E <<>||>=>> $N:
            return $E
    return <<None||-1||$N>>
---
#@ floats
def <<average||mean_of||arithmetic_mean>>($L):
    if not $L:
        return 0<<.0||>>
    return sum($L) / len($L)
---
#@ pints
def <<median_of||middle_value||midpoint>>($L):
    $R = sorted($L)
    $I = len($R) // 2
    if len($R) % 2 == 1:
        return $R[$I]
    return ($R[$I - 1] + $R[$I]) / 2
---
#@ ints
def <<running||cumulative||prefix>>_<<total||sums||sum>>($L):
    $R = []
    $N = 0
    for $E in $L:
        $N += $E
        $R.append($N)
    return $R
---
#@ ints
def <<running||prefix||cumulative>>_<<minimum||lowest>>($L):
    $R = []
    for $E in $L:
        if $R and $R[-1] < $E:
            $R.append($R[-1])
        else:
            $R.append($E)
    return $R
---
#@ ints
def <<differences||deltas||steps||changes>>($L):
    <<return [$L[$I + 1] - $L[$I] for $I in range(len($L) - 1)]||$R = []
    for $I in range(1, len($L)):
        $R.append($L[$I] - $L[$I - 1])
    return $R||return [$E2 - $E1 for $E1, $E2 in zip($L, $L[1:])]>>
---
#@ ints
def <<is_increasing||ascending||in_order||is_ordered>>($L):
    <<for $I in range(1, len($L)):
        if $L[$I] <<<||<=>> $L[$I - 1]:
            return False
    return True||return all($L[$I] <<<||<=>> $L[$I + 1] for $I in range(len($L) - 1))||return all($E1 <<<||<=>> $E2 for $E1, $E2 in zip($L, $L[1:]))>>
---
#@ ints pos
def <<chunks||batches||split_every||groups_of>>($L, $N):
    <<return [$L[$I:$I + $N] for $I in range(0, len($L), $N)]||$R = []
    for $I in range(0, len($L), $N):
        $R.append($L[$I:$I + $N])
    return $R>>
---
#@ ints pos
def <<windows||sliding||moving>>_<<sums||totals||sum>>($L, $N):
    $R = []
    for $I in range(len($L) - $N + 1):
        $R.append(sum($L[$I:$I + $N]))
    return $R
---
#@ ints small
def <<rotate||rotate_left||cycle_list>>($L, $N):
    if not $L:
        return []
    $N = $N % len($L)
    return $L[$N:] + $L[:$N]
---
#@ ints small
def <<take_last||tail_of||last_items>>($L, $N):
    if $N <= 0:
        return []
    return $L[-$N:]
---
#@ ints small
def <<top||largest||best>>_<<n||few||some>>($L, $N):
    return sorted($L<<, reverse=True||>>)[:$N]
---
#@ ints
def <<dedupe||distinct||unique_items||without_duplicates>>($L):
    <<$R = []
    for $E in $L:
        if $E not in $R:
            $R.append($E)
    return $R||$D = set()
    $R = []
    for $E in $L:
        if $E not in $D:
            $D.add($E)
            $R.append($E)
    return $R>>
---
#@ ints
def <<has_duplicates||any_repeated||contains_twice>>($L):
    <<return len($L) != len(set($L))||$R = set()
    for $E in $L:
        if $E in $R:
            return True
        $R.add($E)
    return False>>
---
#@ ints ints
def <<common_items||shared||overlap_of>>($L1, $L2):
    return [$E for $E in $L1 if $E <<in||not in>> $L2]
---
#@ sints sints
def <<merge_sorted||merge_lists||combine_sorted>>($L1, $L2):
    $R = []
    $I1 = $I2 = 0
    while $I1 < len($L1) and $I2 < len($L2):
        if $L1[$I1] <= $L2[$I2]:
            $R.append($L1[$I1])
            $I1 += 1
        else:
            $R.append($L2[$I2])
            $I2 += 1
    return $R + $L1[$I1:] + $L2[$I2:]
---
#@ usints int
def <<bisect||binary_search||search_sorted||lookup_sorted>>($L, $N):
    $I1, $I2 = 0, len($L) - 1
    while $I1 <= $I2:
        $I3 = ($I1 + $I2) // 2
        if $L[$I3] == $N:
            return $I3
        if $L[$I3] < $N:
            $I1 = $I3 + 1
        else:
            $I2 = $I3 - 1
    return -1
---
#@ sints int
def <<insertion_point||bisect_left||rank_of>>($L, $N):
    $I1 = 0
    $I2 = len($L)
    while $I1 < $I2:
        $I3 = ($I1 + $I2) // 2
        if $L[$I3] <<<||<=>> $N:
            $I1 = $I3 + 1
        else:
            $I2 = $I3
    return $I1
---
#@ usints int
def <<has_pair||pair_exists||two_sum_sorted>>($L, $N):
    $I1, $I2 = 0, len($L) - 1
    while $I1 < $I2:
        $R = $L[$I1] + $L[$I2]
        if $R == $N:
            return True
        if $R < $N:
            $I1 += 1
        else:
            $I2 -= 1
    return False
---
#@ ints int
def <<pairs_with_sum||matching_pairs||count_pairs>>($L, $N):
    $R = 0
    for $I1 in range(len($L)):
        for $I2 in range($I1 + 1, len($L)):
            if $L[$I1] + $L[$I2] == $N:
                $R += 1
    return $R
---
#@ bits
def <<longest_run||longest_streak||max_streak>>($L):
    $R = 0
    $N = 0
    for $E in $L:
        if $E<< == 1||>>:
            $N += 1
            $R = max($R, $N)
        else:
            $N = 0
    return $R
---
#@ ints
def <<best_profit||max_gain||largest_rise>>($L):
    $R = 0
    if not $L:
        return $R
    $N = $L[0]
    for $E in $L:
        $N = min($N, $E)
        $R = max($R, $E - $N)
    return $R
---
#@ ints
def <<sort||bubble||ordered>>_<<values||up||copy>>($L):
    $R = list($L)
    for $I1 in range(len($R)):
        for $I2 in range(len($R) - 1 - $I1):
            if $R[$I2] > $R[$I2 + 1]:
                $R[$I2], $R[$I2 + 1] = $R[$I2 + 1], $R[$I2]
    return $R
---
#@ ints int
def <<insert_sorted||add_in_order||place>>($L, $N):
    $I = 0
    while $I < len($L) and $L[$I] < $N:
        $I += 1
    return $L[:$I] + [$N] + $L[$I:]
---
#@ ints
def <<interleave||alternate||every_other>>($L):
    return <<$L[::2]||$L[1::2]||$L[::2] + $L[1::2]||$L[::-1]||$L[1:-1]||$L[:-1]||$L[1:]>>
---
#@ ints ints
def <<dot||scalar_product||weighted_sum||score>>($L1, $L2):
    <<return sum($E1 * $E2 for $E1, $E2 in zip($L1, $L2))||$R = 0
    for $I in range(min(len($L1), len($L2))):
        $R += $L1[$I] * $L2[$I]
    return $R>>
---
#@ ints ints
def <<add_lists||elementwise||combine>>($L1, $L2):
    <<if len($L1) != len($L2):
        raise ValueError("lengths differ")
    ||>>return [$E1 <<+||-||*>> $E2 for $E1, $E2 in zip($L1, $L2)]
---
#@ ints
def <<split_signs||partition||separate>>($L):
    $R1 = []
    $R2 = []
    for $E in $L:
        if @P($E):
            $R1.append($E)
        else:
            $R2.append($E)
    return $R1, $R2
---
#@ options
def <<fill_gaps||forward_fill||fill_missing>>($L):
    $R = []
    $E1 = <<0||None>>
    for $E in $L:
        if $E is not None:
            $E1 = $E
        $R.append($E1)
    return $R
---
#@ options
def <<count_missing||known||present>>($L):
    <<return sum(1 for $E in $L if $E is None)||return [$E for $E in $L if $E is not None]||return len([$E for $E in $L if $E is not None])>>
---
#@ nested
def flat($L):
    $R = []
    for $E in $L:
        if isinstance($E, list):
            $R.extend(<<$E||flat($E)>>)
        else:
            $R.append($E)
    return $R
---
#@ matrix
def <<transpose||columns_of||flip>>($L):
    <<return [[row[$I] for row in $L] for $I in range(len($L[0]))]||return [list(col) for col in zip(*$L)]>>
---
#@ matrix
def <<row_sums||sum_rows||row_totals>>($L):
    <<return [sum(row) for row in $L]||$R = []
    for row in $L:
        $R.append(<<sum||max||min>>(row))
    return $R>>
---
#@ matrix
def <<column_sums||column_totals>>($L):
    $R = [0] * len($L[0])
    for row in $L:
        for $I, $E in enumerate(row):
            $R[$I] += $E
    return $R
---
#@ matrix
def <<trace||diagonal||main_diagonal>>($L):
    $R = <<0||[]>>
    for $I in range(min(len($L), len($L[0]))):
        $R += <<$L[$I][$I]||[$L[$I][$I]]>>
    return $R
---
#@ matrix int
def <<count_cells||cells_above||occurrences>>($L, $N):
    $R = 0
    for row in $L:
        for $E in row:
            if $E <<>||==||<>> $N:
                $R += 1
    return $R
---
#@ matrix int
def <<find_cell||locate||where>>($L, $N):
    for $I1, row in enumerate($L):
        for $I2, $E in enumerate(row):
            if $E == $N:
                return ($I1, $I2)
    return None
---
#@ pairs
def <<merge_intervals||union||join_spans>>(intervals):
    $R = []
    for $I1, $I2 in sorted(intervals):
        if $R and $I1 <= $R[-1][1]:
            $R[-1] = ($R[-1][0], max($R[-1][1], $I2))
        else:
            $R.append(($I1, $I2))
    return $R
---
#@ pair pair
def <<overlaps||intersects||collide>>($E1, $E2):
    return $E1[0] <<<||<=>> $E2[1] and $E2[0] <<<||<=>> $E1[1]
---
#@ pairs
def <<total_length||covered||busy_time>>($L):
    $R = 0
    for start, end in $L:
        $R += end - start<< + 1||>>
    return $R
---
#@ pair pair
def <<intersection_of||common_part||clip>>($E1, $E2):
    start = max($E1[0], $E2[0])
    end = min($E1[1], $E2[1])
    if start <<>||>=>> end:
        return None
    return (start, end)
---
#@ pairs int
def <<covering||active_at||containing>>($L, $N):
    return [($I1, $I2) for $I1, $I2 in $L if $I1 <= $N <<<||<=>> $I2]
"""

_NUMBERS = r"""
#@ nat
def <<digit_sum||sum_of_digits||cross_sum>>($N):
    <<$R = 0
    while $N > 0:
        $R += $N % 10
        $N //= 10
    return $R||return sum(int($C) for $C in str($N))>>
---
#@ nat
def <<digit_count||count_digits||width_of>>($N):
    if $N == 0:
        return 1
    $R = 0
    while $N:
        $N //= 10
        $R += 1
    return $R
---
#@ nat
def <<reverse_digits||mirror_number||backwards>>($N):
    $R = 0
    while $N > 0:
        $R = $R * 10 + $N % 10
        $N = $N // 10
    return $R
---
#@ nat
def <<digit_list||to_digits||split_digits>>($N):
    $R = []
    while $N <<> 0||>= 1>>:
        $R.append($N % 10)
        $N //= 10
    return $R[::-1]
---
#@ nat pos
def <<in_base||convert||representation>>($N, base):
    if base < 2:
        raise ValueError("base too small")
    if $N == 0:
        return "0"
    $R = ""
    while $N > 0:
        $R = str($N % base) + $R
        $N //= base
    return $R
---
#@ int int int
def <<clamp||limit_to||bounded||clip_value>>($E, $N1, $N2):
    <<if $E < $N1:
        return $N1
    if $E > $N2:
        return $N2
    return $E||return max($N1, min($E, $N2))>>
---
#@ int int int
def <<is_between||within||in_range>>($E, $N1, $N2):
    return $N1 <<<||<=>> $E <<<||<=>> $N2
---
#@ int
def <<sign||signum||direction>>($N):
    if $N > 0:
        return 1
    <<elif||if>> $N < 0:
        return -1
    return 0
---
#@ small
def fact($N):
    <<$R = 1
    for $I in range(2, $N + 1):
        $R *= $I
    return $R||if $N <= 1:
        return 1
    return $N * fact($N - 1)>>
---
#@ small pos
def <<power_of||raise_to||int_power>>($E, $N):
    $R = 1
    for _ in range($N):
        $R *= $E
    return $R
---
#@ pos
def <<divisors||factors_of||divisor_list>>($N):
    <<return [$I for $I in range(1, $N + 1) if $N % $I == 0]||$R = []
    for $I in range(1, $N + 1):
        if $N % $I == 0:
            $R.append($I)
    return $R>>
---
#@ nat nat
def <<common_divisor||greatest_common||hcf>>($N1, $N2):
    while $N2<< > 0||>>:
        $N1, $N2 = $N2, $N1 % $N2
    return $N1
---
#@ pos
def <<steps_to_one||collatz_length||halving_steps>>($N):
    $R = 0
    while $N != 1:
        if $N % 2 == 0:
            $N //= 2
        else:
            $N = 3 * $N + 1
        $R += 1
    return $R
---
#@ pos
def <<triangular||stairs||sum_to>>($N):
    <<return $N * ($N + 1) // 2||return sum(range($N + 1))||$R = 0
    for $I in range(1, $N + 1):
        $R += @T($I)
    return $R>>
---
#@ pos
def <<nth_term||sequence_value||growth>>($N):
    $I1, $I2 = <<0, 1||1, 1||2, 1||1, 2>>
    for _ in range($N<< - 1||>>):
        $I1, $I2 = $I2, $I1 + $I2
    return $I1
---
#@ year
def <<is_leap||leap_year||has_leap_day>>(year):
    <<return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)||if year % 400 == 0:
        return True
    if year % 100 == 0:
        return False
    return year % 4 == 0>>
---
#@ month year
def <<days_in_month||month_length>>(month, year):
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    return 30 if month in (4, 6, 9, 11) else 31
---
#@ minutes
def <<format_minutes||clock||as_time||duration>>(minutes):
    hours = minutes // 60
    rest = minutes % 60
    <<return f"{hours:02d}:{rest:02d}"||return str(hours) + "h" + str(rest) + "m"||if hours == 0:
        return f"{rest}m"
    return f"{hours}h {rest}m">>
---
#@ time
def <<to_minutes||parse_time||minutes_of>>($S):
    <<hours, minutes = $S.split(":")
    return int(hours) * 60 + int(minutes)||$W = $S.split(":")
    return int($W[0]) * 60 + int($W[1])>>
---
#@ time time
def <<minutes_between||elapsed||gap>>(start, end):
    $R1, $R2 = start.split(":")
    $R3, $R4 = end.split(":")
    $R = (int($R3) - int($R1)) * 60 + int($R4) - int($R2)
    return $R if $R >= 0 else $R + 24 * 60
---
#@ float share
def <<discounted||with_discount||net_price||after_rebate>>(price, rate):
    <<if price < 0:
        raise ValueError("negative price")
    ||>>return round(price * (1 - rate), 2)
---
#@ float share
def <<with_tax||gross||add_interest>>(amount, rate):
    <<tax = amount * rate
    return round(amount + tax, 2)||return round(amount * (1 + rate), 2)>>
---
#@ float share pos
def <<compound||future_value||balance_after>>(amount, rate, years):
    for _ in range(years):
        amount = amount + amount * rate
    return round(amount, 2)
---
#@ nat
def <<grade||category||bracket||shipping>>($N):
    if $N >= <<90||80||100>>:
        return <<"A"||"high"||3||0>>
    if $N > <<50||60||70>>:
        return <<"B"||"medium"||2||5>>
    <<if $N >= 20:
        return <<"C"||"low"||1||9>>
    ||>>return <<"F"||"none"||0||15>>
---
#@ int int
def <<safe_divide||ratio||quotient>>($N1, $N2):
    <<if $N2 == 0:
        return <<0||None>>
    return $N1 <</||//>> $N2||try:
        return $N1 <</||//>> $N2
    except ZeroDivisionError:
        return <<0||None>>||if not $N2:
        raise ValueError("division by zero")
    return $N1 / $N2>>
---
#@ int int
def <<manhattan||step_distance||grid_distance||gap_size>>($E1, $E2):
    return abs($E1<< - ||+>>$E2)
---
#@ nat pos
def <<round_up||next_multiple||padded_size>>($N, $E):
    <<if $N % $E == 0:
        return $N
    return ($N // $E + 1) * $E||return -(-$N // $E) * $E||return ($N + $E - 1) // $E * $E>>
---
#@ nat pos
def <<pages||page_count||boxes_needed||batches_for>>($N, size):
    <<return ($N + size - 1) // size||$R = $N // size
    if $N % size:
        $R += 1
    return $R>>
---
#@ ints small pos
def <<page||paginate||page_items>>($L, number, size):
    <<start = number * size||start = (number - 1) * size>>
    end = start + size
    return $L[start:end]
---
#@ nat
def <<make_change||coins||notes>>(amount):
    $R = []
    for coin in (50, 20, 10, 5, 2, 1)[<<0||1||2>>:]:
        while amount >= coin:
            $R.append(coin)
            amount -= coin
            if len($R) > 8:
                return $R
    return $R
---
#@ nat
def <<binary||to_bits||bit_string>>($N):
    <<return bin($N)[2:]||$R = ""
    while $N:
        $R = str($N % 2) + $R
        $N //= 2
    return $R or "0">>
---
#@ nat
def <<ones||popcount||bits_set>>($N):
    $R = 0
    while $N:
        <<$R += $N & 1
        $N //= 2||$R += $N % 2
        $N = $N // 2||$N &= $N - 1
        $R += 1>>
    return $R
---
#@ ints int
def <<count_close||near||within_distance>>($L, $N):
    return [$E for $E in $L if abs($E - $N) <<<||<=>> @n]
---
#@ ints1 int
def <<closest_to||nearest||best_match>>($L, $N):
    <<return min($L, key=lambda $E: abs($E - $N))||$R = $L[0]
    for $E in $L:
        if abs($E - $N) < abs($R - $N):
            $R = $E
    return $R>>
---
#@ int int
def <<combine||mix||score||cost>>($N1, $N2):
    $R = @T($N1)
    if @P($N2):
        $R <<+=||-=||*=>> $N2
    <<if $N1 > $N2:
        return $R
    return $R + @n||return $R||else:
        $R += @n
    return $R>>
---
#@ ints
def <<evaluate||process||summarise||balance_of>>($L):
    $N = @n
    for $E in $L:
        if @P($E):
            $N += $E
        <<elif||elif>> @P($E):
            $N -= <<1||$E||2>>
        else:
            $N = <<@T($N)||$N + 1||0>>
    return $N
"""

_TEXT = r"""
#@ text
def <<count_vowels||vowel_total||vowels_in>>($S):
    <<$R = 0
    for $C in $S<<.lower()||>>:
        if $C in "aeiou":
            $R += 1
    return $R||return sum(1 for $C in $S if $C.lower() in "aeiou")>>
---
#@ text
def <<keep||only||extract||clean>>_<<letters||chars||symbols>>($S):
    <<return "".join($C for $C in $S if @Q($C))||$R = ""
    for $C in $S:
        if @Q($C):
            $R += $C
    return $R||$R = []
    for $C in $S:
        if @Q($C):
            $R.append($C)
    return "".join($R)>>
---
#@ text
def <<count||number_of>>_<<letters||digits||chars||matches>>($S):
    <<$R = 0
    for $C in $S:
        if @Q($C):
            $R += 1
    return $R||return sum(@Q($C) for $C in $S)||return len([$C for $C in $S if @Q($C)])>>
---
#@ text
def <<initials||acronym||abbreviate>>($S):
    <<return "".join($W[0].upper() for $W in $S.split())||$R = ""
    for word in $S.split():
        $R += word[0]<<.upper()||>>
    return $R>>
---
#@ text
def <<capitalise_words||title_case||headline>>($S):
    <<return " ".join(word.capitalize() for word in $S.split())||$R = []
    for word in $S.split(" "):
        $R.append(word[:1].upper() + word[1:])
    return " ".join($R)>>
---
#@ text
def <<longest_word||widest_token>>($S):
    $R = ""
    for word in $S.split():
        if len(word) <<>||>=>> len($R):
            $R = word
    return $R
---
#@ text
def <<word_lengths||lengths||sizes>>($S):
    return <<[len(word) for word in $S.split()]||{word: len(word) for word in $S.split()}||sum(len(word) for word in $S.split())>>
---
#@ text
def <<count_words||word_count||occurrences>>($S):
    $D = {}
    for word in $S<<.lower()||>>.split():
        <<$D[word] = $D.get(word, 0) + 1||if word in $D:
            $D[word] += 1
        else:
            $D[word] = 1||$D.setdefault(word, 0)
        $D[word] += 1>>
    return $D
---
#@ letters
def <<letter_counts||frequencies||char_histogram>>($S):
    $D = {}
    for $C in $S:
        <<$D[$C] = $D.get($C, 0) + 1||if $C not in $D:
            $D[$C] = 0
        $D[$C] += 1>>
    return $D
---
#@ letters
def <<most_common||mode_char||favourite>>($S):
    $D = {}
    for $C in $S:
        $D[$C] = $D.get($C, 0) + 1
    $R = None
    for $C, $N in $D.items():
        if $R is None or $N > $D[$R]:
            $R = $C
    return $R
---
#@ letters
def <<compress||run_length||encode_runs||squeeze>>($S):
    $R = []
    for $C in $S:
        if $R and $R[-1][0] == $C:
            $R[-1][1] += 1
        else:
            $R.append([$C, 1])
    return <<$R||"".join($C + str($N) for $C, $N in $R)||[tuple($E) for $E in $R]>>
---
#@ letters
def <<squeeze||collapse||no_repeats>>($S):
    $R = ""
    for $C in $S:
        if not $R or $R[-1] != $C:
            $R += $C
    return $R
---
#@ letters
def <<first_unique||first_single||unrepeated>>($S):
    for $C in $S:
        if $S.count($C) == 1:
            return $C
    return <<None||"">>
---
#@ letters letters
def <<are_anagrams||same_letters||is_shuffle>>($S1, $S2):
    return sorted($S1<<.lower()||>>) == sorted($S2<<.lower()||>>)
---
#@ letters letters
def <<common_prefix||shared_start>>($S1, $S2):
    $R = ""
    for $C1, $C2 in zip($S1, $S2):
        if $C1 != $C2:
            break
        $R += $C1
    return $R
---
#@ letters letters
def <<hamming||mismatches||differing>>($S1, $S2):
    return sum($C1 <<!=||==>> $C2 for $C1, $C2 in zip($S1, $S2))<< + abs(len($S1) - len($S2))||>>
---
#@ word pos
def <<shift_letters||caesar||rotate_text>>($S, $N):
    $R = ""
    for $C in $S:
        if $C.islower():
            $R += chr((ord($C) - ord("a") + $N) % 26 + ord("a"))
        else:
            $R += $C
    return $R
---
#@ text small
def <<truncate||shorten||ellipsis||cut_text>>($S, $N):
    if len($S) <= $N:
        return $S
    return $S[:<<$N||max($N - 3, 0)>>] + "..."
---
#@ word pos
def <<pad||pad_left||align_right||center_text>>($S, $N):
    <<return " " * ($N - len($S)) + $S||while len($S) < $N:
        $S = <<" " + $S||$S + "-">>
    return $S||return $S + "." * max(0, $N - len($S))>>
---
#@ text
def <<slug||slugify||to_key>>($S):
    <<return "-".join($S.lower().split())||$S = $S.strip().lower()
    return $S.replace(" ", <<"-"||"_">>)||$R = ""
    for $C in $S.lower():
        if $C.isalnum():
            $R += $C
        elif $R and $R[-1] != "-":
            $R += "-"
    return $R.strip("-")>>
---
#@ word
def <<snake_case||to_snake||split_camel>>($S):
    $R = ""
    for $I, $C in enumerate($S):
        if $C.isupper() and $I > 0:
            $R += "_"
        $R += $C.lower()
    return $R
---
#@ text
def <<camel_case||to_camel||join_words>>($S):
    $W = $S.split(<<"_"||" "||"-"||>>)
    return $W[0].lower() + "".join(word.title() for word in $W[1:]) if $W else ""
---
#@ csv
def <<parse_row||read_fields||split_fields>>($S):
    <<return [$W.strip() for $W in $S.split(",") if $W<<.strip()||>>]||$R = []
    for field in $S.split(","):
        if field<<.isdigit()||>>:
            $R.append(<<int(field)||field>>)
        else:
            $R.append(None)
    return $R||$R = []
    for field in $S.split(","):
        if field.isdigit():
            $R.append(int(field))
    return $R>>
---
#@ pairs_text
def <<parse_query||parse_pairs||read_settings>>($S):
    $D = {}
    for part in $S.split("&"):
        if "=" not in part:
            continue
        key, value = part.split("=", 1)
        $D[key<<.strip()||>>] = <<value||int(value) if value.isdigit() else value>>
    return $D
---
#@ counts
def <<format_pairs||to_query||show>>($D):
    <<return <<"&"||", "||";">>.join(f"{key}={value}" for key, value in <<sorted($D.items())||$D.items()>>)||$R = []
    for key in sorted($D):
        $R.append(key + <<"="||": ">> + str($D[key]))
    return <<"\n"||", ">>.join($R)>>
---
#@ lines
def <<count_lines||non_empty_lines||line_total>>($S):
    return len([line for line in $S.<<splitlines()||split("\n")>> if <<line||line.strip()||not line.startswith("#")>>])
---
#@ lines word
def <<grep||matching_lines||search_lines>>($S, word):
    $R = []
    for $I, line in enumerate($S.splitlines()<<, 1||, start=1||>>):
        if word in line<<.lower()||>>:
            $R.append(<<$I||line||($I, line)>>)
    return $R
---
#@ lines
def <<indent||prefix_lines||quote_lines>>($S):
    return "\n".join(<<"  "||"> "||"- ">> + line for line in $S.<<splitlines()||split("\n")>>)
---
#@ brackets
def <<balanced||well_nested||parens_match>>($S):
    <<$N = 0
    for $C in $S:
        if $C == "(":
            $N += 1
        elif $C == ")":
            $N -= 1
            if $N < 0:
                return False
    return $N == 0||pairs = {")": "(", "]": "[", "}": "{"}
    stack = []
    for $C in $S:
        if $C in "([{":
            stack.append($C)
        elif $C in pairs:
            if not stack or stack.pop() != pairs[$C]:
                return False
    return not stack>>
---
#@ brackets
def <<max_depth||nesting||deepest>>($S):
    $R = $N = 0
    for $C in $S:
        if $C == "(":
            $N += 1
            $R = max($R, $N)
        elif $C == ")":
            $N -= 1
    return $R
---
#@ anyword
def <<is_mirror||reads_same||symmetric>>($S):
    <<$S = $S.lower()
    ||>><<return $S == $S[::-1]||for $I in range(len($S) // 2):
        if $S[$I] != $S[len($S) - 1 - $I]:
            return False
    return True||$I1, $I2 = 0, len($S) - 1
    while $I1 < $I2:
        if $S[$I1] != $S[$I2]:
            return False
        $I1 += 1
        $I2 -= 1
    return True>>
---
#@ anyword
def <<is_valid_name||check_user||acceptable>>($S):
    if len($S) < <<2||3||4>> <<or len($S) > <<8||12||20>>||or not $S>>:
        return False
    <<if not $S[0].isalpha():
        return False
    ||>>return all($C.isalnum() or $C == "_" for $C in $S)
---
#@ digits
def <<check_digit||luhn||weighted_digits||checksum>>($S):
    $N = 0
    for $I, $C in enumerate(<<$S||reversed($S)>>):
        $E = int($C)
        if $I % 2 == <<0||1>>:
            $E *= <<2||3>>
            <<if $E > 9:
                $E -= 9
        ||>>
        $N += $E
    return $N % 10<< == 0||>>
---
#@ digits
def <<group_digits||thousands||with_commas>>($S):
    $R = ""
    for $I, $C in enumerate(reversed($S)):
        if $I and $I % 3 == 0:
            $R = "," + $R
        $R = $C + $R
    return $R
---
#@ words
def <<by_length||sort_words||order_names>>($W):
    return sorted($W, key=<<len||lambda word: (len(word), word)||str.lower||lambda word: word[-1]||lambda word: (-len(word), word)>><<, reverse=True||>>)
---
#@ words
def <<select||keep||choose>>_<<words||names||tags>>($W):
    <<return [@G(word) for word in $W if word and @H(word)]||$R = []
    for word in $W:
        if word and @H(word):
            $R.append(<<word||@G(word)>>)
    return $R>>
---
#@ words
def <<join_nicely||enumerate_names||listing>>($W):
    if not $W:
        return ""
    if len($W) == 1:
        return $W[0]
    return ", ".join($W[:-1]) + " and " + $W[-1]
---
#@ words
def <<index_words||first_positions||positions>>($W):
    $D = {}
    for $I, word in enumerate($W):
        <<if word not in $D:
            $D[word] = $I||$D.setdefault(word, []).append($I)||$D[word] = $I>>
    return $D
---
#@ words
def <<group_by_length||by_first||buckets>>($W):
    $D = {}
    for word in $W:
        key = <<len(word)||word[0]||word[:1].lower()||@K(word)>>
        <<$D.setdefault(key, []).append(word)||if key not in $D:
            $D[key] = []
        $D[key].append(word)>>
    return $D
---
#@ text char
def <<count_char||occurrences_of||times>>($S, $C):
    $R = 0
    for $I in range(len($S)):
        if $S[$I] == $C:
            $R += 1
    return $R
---
#@ text sep
def <<before||head||first_part>>($S, $C):
    <<if $C not in $S:
        return $S
    return $S.split($C)[<<0||-1||1>>]||$I = $S.find($C)
    if $I == -1:
        return $S
    return <<$S[:$I]||$S[$I + 1:]>>||return $S.partition($C)[<<0||2>>]>>
---
#@ text text
def <<contains_word||has_word||mentions>>($S1, $S2):
    return <<$S2.lower() in $S1.lower()||$S2 in $S1.split()||any(word in $S1 for word in $S2.split())||all(word in $S1 for word in $S2.split())>>
---
#@ word
def <<ends||edges||swap_ends||both_ends>>($S):
    if len($S) < 2:
        return $S
    return <<$S[-1] + $S[1:-1] + $S[0]||$S[0] + $S[-1]||$S[1:] + $S[0]||$S[-1] + $S[:-1]||$S[:2] + $S[-2:]>>
---
#@ words words
def <<zip_words||pair_up||label>>($W1, $W2):
    return <<dict(zip($W1, $W2))||[$S1 + " " + $S2 for $S1, $S2 in zip($W1, $W2)]||list(zip($W1, $W2))||[f"{$S1}:{$S2}" for $S1, $S2 in zip($W1, $W2) if $S1 != $S2]>>
---
#@ anyword
def <<mask||hide||censor>>($S):
    <<return "*" * (len($S) - 2) + $S[-2:]||if len($S) <= @k:
        return "*" * len($S)
    return $S[0] + "*" * (len($S) - 2) + $S[-1]>>
"""

_MAPPINGS = r"""
#@ counts int
def <<above||filter_counts||frequent||in_stock>>($D, $N):
    <<return {key: value for key, value in $D.items() if value <<>||>=||<||!=>> $N}||$R = {}
    for key, value in $D.items():
        if value <<>||>=>> $N:
            $R[key] = value
    return $R||return sorted(key for key in $D if $D[key] <<>||>=>> $N)>>
---
#@ counts
def <<total_of||stock_total||sum_values||overall>>($D):
    <<$R = 0
    for value in $D.values():
        <<$R += value||if @P(value):
            $R += value>>
    return $R||return sum($D.values())||return sum(value for value in $D.values() if @P(value))>>
---
#@ counts
def <<best_key||winner||top_item||most_stocked>>($D):
    <<if not $D:
        return None
    return max($D, key=<<$D.get||lambda key: $D[key]||lambda key: ($D[key], key)>>)||$R = None
    for key in $D:
        if $R is None or $D[key] <<>||<>> $D[$R]:
            $R = key
    return $R>>
---
#@ counts
def <<ranking||ordered_items||leaderboard>>($D):
    return sorted($D.items(), key=lambda item: <<item[1]||(-item[1], item[0])||(item[1], item[0])||item[0]>><<, reverse=True||>>)
---
#@ names
def <<invert||swap_keys||reverse_lookup>>($D):
    <<return {value: key for key, value in $D.items()}||$R = {}
    for key, value in $D.items():
        <<$R[value] = key||$R.setdefault(value, []).append(key)>>
    return $R>>
---
#@ counts counts
def <<merge_counts||add_counts||combine_stock>>($D1, $D2):
    $R = <<dict($D1)||$D1.copy()>>
    for key, value in $D2.items():
        $R[key] = $R.get(key, 0) <<+||->> value
    return $R
---
#@ counts counts
def <<changed||diff||updated>>($D1, $D2):
    <<return {key for key in $D1 if $D1[key] != $D2.get(key)}||$R = []
    for key in $D2:
        if key not in $D1 <<or $D1[key] != $D2[key]||>>:
            $R.append(key)
    return sorted($R)>>
---
#@ counts word int
def <<lookup||get_or||price_of>>($D, key, default):
    <<if key in $D:
        return $D[key]
    return default||return $D.get(key, default)||try:
        return $D[key]
    except KeyError:
        return default>>
---
#@ counts word small
def <<take||reserve||sell||remove_stock>>($D, name, amount):
    if name not in $D:
        <<return False||raise KeyError(name)>>
    if $D[name] < amount:
        return False
    $D[name] -= amount
    <<if $D[name] == 0:
        del $D[name]
    return $D||return $D||return True>>
---
#@ lists
def <<group_sizes||list_totals||reduce_lists>>($D):
    return {key: <<len(values)||sum(values)||max(values, default=0)||sorted(values)>> for key, values in $D.items()<< if values||>>}
---
#@ lists
def <<all_values||flatten_lists||collect_values>>($D):
    $R = []
    for key in <<sorted($D)||$D>>:
        <<$R.extend($D[key])||for $E in $D[key]:
            if @P($E):
                $R.append($E)||$R += $D[key]>>
    return $R
---
#@ named
def <<group_pairs||collect_scores||by_name>>($L):
    $D = {}
    for name, value in $L:
        <<$D.setdefault(name, []).append(value)||$D[name] = $D.get(name, 0) + value||$D[name] = max($D.get(name, 0), value)||if name in $D:
            $D[name].append(value)
        else:
            $D[name] = [value]>>
    return $D
---
#@ cart
def <<cart_total||order_total||invoice||basket_price>>($L):
    $R = 0
    for name, price, quantity in $L:
        $R += price * quantity
    <<if $R > 50:
        $R -= 5
    return $R||return $R||return round($R * 0.9, 2)>>
---
#@ cart
def <<expensive||bulk_items||cheap_names>>(items):
    return [name for name, price, <<quantity||count>> in items if price <<>||<||>=>> @n]
---
#@ records
def <<adults||passed||top_people>>(records):
    <<return [$E["name"] for $E in records if $E[<<"age"||"score">>] <<>=||>||<>> <<18||50||30>>]||$R = []
    for $E in records:
        if $E["score"] >= 50:
            $R.append($E["name"])
    return $R>>
---
#@ records
def <<mean_age||average_score||mean_field>>(records):
    $R = 0
    for $E in records:
        $R += $E[<<"age"||"score">>]
    return $R / len(records)
---
#@ records
def <<oldest||best_student||winner_name>>(records):
    $R = records[0]
    for $E in records:
        if $E[<<"age"||"score">>] > $R[<<"age"||"score">>]:
            $R = $E
    return $R["name"]
---
#@ graph node
def <<reachable||explore||visit>>(graph, start):
    seen = <<[start]||{start}>>
    queue = [start]
    while queue:
        node = queue.pop(<<0||>>)
        for other in graph[node]:
            if other not in seen:
                seen |= {other}
                queue.append(other)
    return sorted(seen)
---
#@ graph node node
def <<hops||path_length||distance_between>>(graph, start, goal):
    queue = [(start, 0)]
    seen = {start}
    while queue:
        node, steps = queue.pop(0)
        if node == goal:
            return steps
        for other in graph[node]:
            if other not in seen:
                seen.add(other)
                queue.append((other, steps + 1))
    return -1
---
#@ graph
def <<in_degrees||indegree||incoming>>(graph):
    $D = {node: 0 for node in graph}
    for node in graph:
        for other in graph[node]:
            $D[other] += 1
    return $D
---
#@ words ints
def <<assign||zip_scores||build_table>>($W, $L):
    $D = {}
    for $I in range(min(len($W), len($L))):
        $D[$W[$I]] = $L[$I]
    return $D
---
#@ words counts
def <<price_list||bill||sum_known>>($W, $D):
    $R = 0
    for name in $W:
        if name in $D:
            $R += $D[name]
        <<else:
            $R += @n
    return $R||return $R>>
---
#@ maybe int
def <<value_or||default_to||coalesce>>($E, default):
    <<if $E is None:
        return default
    return $E||return default if $E is None else $E||return $E if $E is not None else default>>
---
#@ words
def <<evaluate||rpn||run_commands>>($W):
    stack = []
    for token in $W:
        if token in ("add", "run", "a"):
            stack.append(len(stack) + 1)
        elif len(token) <<>||<>> @k:
            stack.append(len(token))
        elif stack:
            stack.pop()
    return <<stack||len(stack)||sum(stack)||stack[-1] if stack else None>>
---
#@ ints int
def <<limit||cap_all||normalise>>($L, $N):
    for $I, $E in enumerate($L):
        if $E > $N:
            $L[$I] = $N
        <<elif $E < 0:
            $L[$I] = 0
    ||>>
    return $L
---
#@ small small
def routes($N1, $N2):
    if $N1 <= 0 or $N2 <= 0:
        return 1
    return routes($N1 - 1, $N2) + routes($N1, $N2 - 1)
---
#@ pints nat
def <<min_coins||fewest||coin_count>>(coins, amount):
    amount = amount % 50
    best = [0] + [None] * amount
    for $I in range(1, amount + 1):
        for coin in coins:
            if coin <= $I and best[$I - coin] is not None:
                if best[$I] is None or best[$I - coin] + 1 < best[$I]:
                    best[$I] = best[$I - coin] + 1
    return best[amount]
---
#@ ints
def <<best_sum||max_subarray||best_stretch>>($L):
    $R = $N = 0
    for $E in $L:
        $N = max(0, $N + $E)
        $R = max($R, $N)
    return $R
---
#@ sints
def <<ranges||summary||spans_of>>($L):
    $R = []
    for $E in $L:
        if $R and $E - $R[-1][1] <= 1:
            $R[-1][1] = $E
        else:
            $R.append([$E, $E])
    return $R
---
#@ letters
def <<all_pairs||substrings||pieces>>($S):
    $R = []
    for $I1 in range(len($S)):
        for $I2 in range($I1 + 1, len($S)<< + 1||>>):
            $R.append(<<$S[$I1:$I2]||$S[$I1] + $S[$I2 - 1]>>)
    return <<$R||len($R)||sorted(set($R))>>
---
#@ ints pos
def <<nth_largest||kth_biggest||order_statistic>>($L, $N):
    if $N > len($L):
        return None
    return sorted($L)[<<-$N||$N - 1>>]
---
#@ ints
def <<leaders||record_highs||new_maxima>>($L):
    $R = []
    for $E in $L:
        if not $R or $E > <<max($R)||$R[-1]>>:
            $R.append($E)
    return $R
---
#@ ints
def <<local_peaks||count_peaks||turning_points>>($L):
    $R = <<0||[]>>
    for $I in range(1, len($L) - 1):
        if $L[$I] > $L[$I - 1] and $L[$I] > $L[$I + 1]:
            $R += <<1||[$I]>>
    return $R
"""


def _split(text: str) -> list[str]:
    return [part.strip("\n") for part in text.split("---\n") if part.strip()]


FUNCTIONS = tuple(part for text in (_LISTS, _NUMBERS, _TEXT, _MAPPINGS) for part in _split(text))
CLASSES = tuple(_split(CLASS_TEXT))
