"""Keeps evaluation functions out of every training corpus.

A function is refused when its alpha-renamed syntax tree equals that of an evaluation function, or when it has the
name of one: HumanEval (arXiv:2107.03374), QuixBugs (doi:10.1145/3135932.3135941). Names alone are a blunt test on
purpose.
"""

# ruff: noqa: E501 - lists of names
from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from training.functions import identity


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUIXBUGS = _names("""bitcount breadth_first_search bucketsort depth_first_search detect_cycle find_first_in_sorted find_in_sorted
    flatten gcd get_factors hanoi is_valid_parenthesization kheapsort knapsack kth lcs_length levenshtein lis
    longest_common_subsequence max_sublist_sum mergesort minimum_spanning_tree next_palindrome next_permutation pascal
    possible_change powerset quicksort reverse_linked_list rpn_eval shortest_path_length shortest_path_lengths
    shortest_paths shunting_yard sieve sqrt subsequences to_base topological_ordering wrap""")
HUMANEVAL = _names("""has_close_elements separate_paren_groups truncate_number below_zero mean_absolute_deviation intersperse
    parse_nested_parens filter_by_substring sum_product rolling_max make_palindrome is_palindrome string_xor longest
    greatest_common_divisor all_prefixes string_sequence count_distinct_characters parse_music how_many_times
    sort_numbers find_closest_elements rescale_to_unit filter_integers strlen largest_divisor factorize
    remove_duplicates flip_case concatenate filter_by_prefix get_positive is_prime find_zero sort_third unique
    max_element fizz_buzz sort_even encode_cyclic decode_cyclic prime_fib triples_sum_to_zero car_race_collision
    incr_list pairs_sum_to_zero change_base triangle_area fib4 median modp encode_shift decode_shift remove_vowels
    below_threshold add same_chars fib correct_bracketing monotonic common largest_prime_factor sum_to_n derivative
    fibfib vowels_count circular_shift digitSum fruit_distribution pluck search strange_sort_list
    will_it_fly smallest_change total_match is_multiply_prime is_simple_power iscube hex_key decimal_to_binary is_happy
    numerical_letter_grade prime_length starts_one_ends solve sort_array encrypt next_smallest is_bored any_int encode
    skjkasdkd check_dict_case count_up_to multiply count_upper closest_integer make_a_pile words_string choose_num
    rounded_avg unique_digits by_length even_odd_palindrome count_nums move_one_ball exchange histogram
    reverse_delete odd_count minSubArraySum max_fill select_words get_closest_vowel match_parens maximum solution
    add_elements get_odd_collatz valid_date split_words is_sorted intersection prod_signs minPath tri digits
    is_nested sum_squares check_if_last_char_is_a_letter can_arrange largest_smallest_integers compare_one
    is_equal_to_sum_even special_factorial fix_spaces file_name_check words_in_sentence simplify order_by_points
    specialFilter get_max_triples bf sorted_list_sum x_or_y double_the_difference compare Strongest_Extension
    cycpattern_check even_odd_count int_to_mini_roman right_angle_triangle find_max eat do_algebra
    string_to_md5 generate_integers""")
PRIMARY = QUIXBUGS | HUMANEVAL


@dataclass(slots=True)
class Filter:
    """Refuses functions that are, or are called like, evaluation functions; remembers each refusal.

    identities: alpha-renamed hashes of evaluation functions. hits: (package, name, reason) of what was refused.
    """

    identities: frozenset[str]
    hits: list[tuple[str, str, str]] = field(default_factory=list)

    def refuses(self, text: str, name: str, package: str) -> bool:
        if name in PRIMARY:
            self.hits.append((package, name, "name"))
        elif identity(text) in self.identities:
            self.hits.append((package, name, "tree"))
        else:
            return False
        return True


def humanevalfix_filter(path: Path | None) -> Filter:
    """Return the filter; `path` is a HumanEvalFix JSON-lines file whose correct and faulty bodies are refused by tree."""
    identities = set()
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    for record in map(json.loads, lines):
        for key in ("canonical_solution", "buggy_solution"):
            declaration = record["declaration"][record["declaration"].rindex("def ") :]
            try:
                identities.add(identity(declaration + record[key]))
            except SyntaxError:
                continue
    return Filter(frozenset(identities))
