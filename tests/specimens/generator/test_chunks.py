from chunks import chunks, pairs


def test_chunks_of_three():
    assert list(chunks("abcdefg", 3)) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


def test_chunks_that_fit():
    assert list(chunks([1, 2, 3, 4], 2)) == [[1, 2], [3, 4]]


def test_an_odd_number_makes_a_last_pair_of_one():
    assert pairs([1, 2, 3]) == [[1, 2], [3]]
