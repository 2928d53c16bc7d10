"""Keeps evaluation functions out of every training corpus.

A function is refused when its alpha-renamed syntax tree equals that of an evaluation function, when it has the name of
one of HumanEval (arXiv:2107.03374) or QuixBugs (doi:10.1145/3135932.3135941), or name and number of parameters of one of
MBPP (arXiv:2108.07732, the sanitized part). Names alone are a blunt test on purpose; MBPP's are too many and too common.
"""

# ruff: noqa: E501 - lists of names
from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from training.functions import identity, parse_function


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
MBPP = tuple(
    _names(names)
    for names in (
        """_sum add_pairwise all_characters_same all_unique amicable_numbers_sum area_tetrahedron armstrong_number
        ascii_value average_tuple babylonian_squareroot bell_number big_diff big_sum cal_sum capital_words_spaces
        catalan_number centered_hexagonal_number change_date_format check check_char check_consecutive check_distinct
        check_expression check_integer check_min_heap check_monthnumb_number check_monthnumber_number check_none
        check_occurences check_str check_type circle_circumference closest_num comb_sort combinations_list
        common_in_nested_lists concatenate_tuple consecutive_duplicates convert count count_bidirectional
        count_binary_seq count_char_position count_charac count_divisors count_first_elements count_integer count_list
        count_occurance count_primes_nums count_reverse_pairs count_rotation count_set_bits count_substrings
        count_vowels cube_nums cube_sum cummulative_sum decimal_to_binary dict_depth dif_square diff_even_odd difference
        div_sum divisor dog_age drop_empty empty_dit empty_list even_binomial_coeff_sum even_bit_set_number
        even_position even_power_sum extract extract_even extract_freq extract_quotation extract_rear extract_singly
        extract_values filter_oddnumbers find_adverb_position find_adverbs find_average_of_cube find_char_long
        find_combinations find_equal_tuple find_even_pair find_index find_length find_lists find_lucas find_max
        find_max_length find_max_num find_min find_min_length find_parity find_rotations find_star_num find_sum
        first_digit first_non_repeating_character first_odd first_repeated_char flatten_list freq_count frequency_lists
        geometric_sum get_char get_char_count_array get_coordinates get_equal get_inv_count get_ludic get_max_sum
        group_tuples harmonic_sum heap_sort hexagonal_num highest_power_of_2 index_minimum is_decimal is_diff is_even
        is_lower is_monotonic is_nonagonal is_not_prime is_num_decagonal is_octagonal is_perfect_square is_polite
        is_power_of_two is_product_even is_sum_of_powers_of_two is_undulating is_upper is_woodall issort_list
        jacobsthal_num largest_neg largest_subset last_digit last_digit_factorial lateralsurface_cube len_log
        list_to_float list_tuple lps lst_to_string magic_square_test max_abs_diff max_aggregate max_difference
        max_length max_length_list max_occurrences max_product max_product_tuple max_run_uppercase max_subarray_product
        max_sum max_sum_list max_val maxaverageofpath merge min_product_tuple min_val move_num move_zero mul_even_odd
        multiple_to_single multiply_elements multiply_num my_dict neg_nos newman_prime next_perfect_square
        next_power_of_2 next_smallest_palindrome number_ctr number_of_substrings odd_length_sum odd_num_sum odd_position
        odd_values_string pack_consecutive_duplicates pair_wise pancake_sort perimeter_pentagon pos_count positive_count
        prime_num radian_degree rear_extract rearrange_bigger recursive_list_sum remove_all_spaces remove_lowercase
        remove_nested remove_odd remove_parenthesis remove_uppercase remove_whitespaces removezero_ip replace_spaces
        replace_specialchar return_sum rev reverse_string_list reverse_vowels reverse_words round_and_sum sample_nam
        search second_smallest sequence set_left_most_unset_bit set_middle_bits shell_sort smallest_num snake_to_camel
        sort_counter sort_matrix sort_numeric_strings sort_sublists split square_nums square_perimeter square_sum
        start_withp str_to_list string_to_list string_to_tuple subject_marks sum_average sum_digits sum_div
        sum_even_and_even_index sum_negativenum sum_odd sum_of_digits sum_of_product sum_of_subarray_prod sum_series
        sumoffactors surfacearea_cube surfacearea_sphere swap_list test_duplicate tetrahedral_number
        text_lowercase_underscore text_match_one text_match_three text_match_two_three text_match_wordz
        text_match_wordz_middle text_match_zero_one text_starta_endb toggle_middle_bits toggle_string triangle_area
        tup_string tuple_size tuple_str_int tuple_to_dict tuple_to_int two_unique_nums unique_element unique_product
        unique_sublists upper_ctr validate volume_cube volume_sphere word_len zero_count""",
        """add_dict_to_tuple add_lists add_nested_tuples add_string add_tuple adjac and_tuples angle_complex are_equivalent
        area_polygon binomial_coeff bitwise_xor check_element check_greater check_k check_min_heap_helper check_smaller
        check_tuplex check_value combinations_colors common_element count_element_in_list count_no_of_ways
        count_occurrence count_pairs count_same_pair count_x dict_filter diff differ_at_one_bit_pos digit_distance_nums
        div_list divisible_by_digits division_elements eulerian_num even_ele expensive_items extract_nth_element
        extract_string find find_dissimilar find_first_occurrence find_literals find_min_diff find_odd_pair
        find_remainder find_substring find_tuples frequency get_pairs_count get_total_number_of_sequences
        heap_queue_largest index_multiplication insert_element intersection_array is_samepatterns is_sub_array
        is_sublist kth_element larg_nnum last lateralsuface_cylinder lateralsurface_cone left_insertion left_rotate
        list_split long_words loss_amount max_of_nth max_sub_array_sum maximize_elements maximum min_jumps min_k
        min_swaps minimum multiply_int new_tuple noprofit_noloss nth_nums occurance_substring odd_equivalent
        opposite_signs otherside_rightangle overlapping pair_xor_sum perfect_squares polar_rect power power_base_sum
        re_arrange_array rectangle_area remove_dirty_chars remove_elements remove_kth_element remove_length remove_occ
        replace_blank replace_list reverse_array_upto_k right_insertion rotate_right sector_area sequential_search
        similar_elements split_arr split_two_parts sub_list substract_elements sum sum_in_range sum_list surface_area
        surfacearea_cylinder swap_numbers trim_tuple tuple_intersection tuple_modulo union_elements volume_cone
        volume_cylinder wind_chill""",
        """all_bits_set_in_the_given_range colon_tuplex convert_list_dictionary count_samepair extract_index_list
        filter_data find_first_missing find_kth find_solution get_median interleave_lists is_majority k_smallest_pairs
        large_product lcs_of_three max_sub_array_sum_repeated median_numbers median_trapezium merge_dictionaries_three
        merge_sorted_list min_of_three parabola_directrix replace_char rgb_to_hsv sum_range_list test_three_equal""",
        """binary_search find_element max_sum_increasing_subseq""",
    )
)  # by number of parameters, from one; lower case
PRIMARY = QUIXBUGS | HUMANEVAL
MBPP_NAMES = frozenset().union(*MBPP)


def _like_mbpp(text: str, name: str) -> bool:
    arguments = parse_function(text).args
    own = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    count = len(own) - (own[:1] in (["self"], ["cls"]))
    return 1 <= count <= len(MBPP) and name.lower() in MBPP[count - 1]


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
        elif name.lower() in MBPP_NAMES and _like_mbpp(text, name):
            self.hits.append((package, name, "name and parameters"))
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
