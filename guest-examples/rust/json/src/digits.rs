//! Numbers as text, from a table: a copy of a few bytes whose number is known
//! when this is compiled is no call into the host.

/// As many bytes as a count may take.
pub const LONGEST: usize = "18446744073709551615".len();

/// How many numbers the table has.
const NUMBERS: usize = 1_000;

/// A point before each, and each with three digits.
const TABLE: [u8; 4 * NUMBERS] = {
    let mut table = [b'.'; 4 * NUMBERS];
    let mut number = 0;
    while number < NUMBERS {
        table[4 * number + 1] = b'0' + (number / 100) as u8;
        table[4 * number + 2] = b'0' + (number / 10 % 10) as u8;
        table[4 * number + 3] = b'0' + (number % 10) as u8;
        number += 1;
    }
    table
};

static TEXT: &str = match std::str::from_utf8(&TABLE) {
    Ok(text) => text,
    Err(_) => panic!("digits are ASCII"),
};

/// A number below 1,000 behind a point: all three digits.
#[inline(always)]
fn entry(number: usize) -> &'static str {
    &TEXT[4 * number..][..4]
}

/// A number, without leading zeros.
pub fn count(value: u64, to: &mut String) {
    if value >= NUMBERS as u64 {
        count(value / NUMBERS as u64, to);
        return three((value % NUMBERS as u64) as usize, to);
    }
    let entry = entry(value as usize);
    match value {
        0..10 => to.push_str(&entry[3..]),
        10..100 => to.push_str(&entry[2..]),
        _ => to.push_str(&entry[1..]),
    }
}

/// A number below 1,000 with two digits: the last ones.
#[inline(always)]
pub fn two(number: usize, to: &mut String) {
    to.push_str(&entry(number)[2..]);
}

/// A number below 1,000 with three digits.
#[inline(always)]
pub fn three(number: usize, to: &mut String) {
    to.push_str(&entry(number)[1..]);
}

/// So many thousandths, with their point: one digit, and no zero at the end
/// behind it.
pub fn fraction(thousandths: usize, to: &mut String) {
    let entry = entry(thousandths);
    if !thousandths.is_multiple_of(10) {
        to.push_str(entry);
    } else if !thousandths.is_multiple_of(100) {
        to.push_str(&entry[..3]);
    } else {
        to.push_str(&entry[..2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        write(&mut text);
        text
    }

    #[test]
    fn counts_are_written_as_the_standard_library_writes_them() {
        let ends = (0..20).flat_map(|digits| {
            let power = 10_u64.pow(digits);
            [power - 1, power, power + 1]
        });
        for value in (0..2_000).chain(ends).chain([1_000_005_000, u64::MAX]) {
            let text = written(|text| count(value, text));
            assert_eq!(text, value.to_string());
            assert!(text.len() <= LONGEST);
        }
    }

    #[test]
    fn parts_keep_their_zeros() {
        assert_eq!(written(|text| two(7, text)), "07");
        assert_eq!(written(|text| two(59, text)), "59");
        assert_eq!(written(|text| three(7, text)), "007");
        assert_eq!(written(|text| three(999, text)), "999");
    }

    #[test]
    fn fractions_lose_their_zeros() {
        for (thousandths, expected) in [
            (0, ".0"),
            (500, ".5"),
            (120, ".12"),
            (7, ".007"),
            (10, ".01"),
        ] {
            assert_eq!(written(|text| fraction(thousandths, text)), expected);
        }
    }
}
