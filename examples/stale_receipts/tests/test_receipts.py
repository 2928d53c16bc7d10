import unittest

from receipts import receipt


class TestReceipts(unittest.TestCase):
    def setUp(self):
        self.lines = [("Tea", 450), ("Cup", 1225)]

    def test_each_line_has_its_price(self):
        self.assertEqual(receipt(self.lines)[0], "Tea 4.50")
        self.assertEqual(receipt(self.lines)[-1], "Sum 16.75")
        self.assertEqual(len(receipt(self.lines)), 3)

    def test_an_empty_receipt_has_a_total(self):
        self.assertEqual(len(receipt([])), 1)
