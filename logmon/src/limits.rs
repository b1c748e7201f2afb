//! Core: the limits of one stream, and how they are written on a command line.
//!
//! A limit of nothing, a negative one and one that overflows are refused (contract ROT-4).
//!
//! The guard in force is the smaller one of the line guard and the file limit, because a line that is
//! larger than a file cannot stay in one. With a guard larger than the limit, ROT-2 ("a closed file is
//! larger than the limit less the guard") then says only that no closed file is empty. The stronger
//! half of ROT-2 holds all the same: with lines of n bytes a closed file is within n bytes of the limit.

/// The largest line guard, in bytes: 16 MiB. A held line lies in memory, so this bounds the memory.
pub const MAX_LINE_GUARD: u64 = 16 * 1024 * 1024;

/// The line guard when none is given, in bytes: 32 KiB, the least that contract DATA-4 asks for.
pub const DEFAULT_LINE_GUARD: u64 = 32 * 1024;

/// Says why a limit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The text is not a number with one of the known units.
    #[error("{0:?} is not a number of bytes such as 1048576, 64KiB or 10MB")]
    NotBytes(String),
    /// The text is not a whole number.
    #[error("{0:?} is not a whole number of files")]
    NotACount(String),
    /// The number is larger than this system can count.
    #[error("{0:?} is too large")]
    TooLarge(String),
    /// At least one file is needed.
    #[error("at least 1 file is needed")]
    NoFiles,
    /// A file must be able to hold at least one byte.
    #[error("a file must be able to hold at least 1 byte")]
    NoBytes,
    /// The guard must be at least one byte.
    #[error("the guard must be at least 1 byte")]
    NoGuard,
    /// The guard is larger than [`MAX_LINE_GUARD`].
    #[error("the guard has {0} bytes, the most is {MAX_LINE_GUARD}")]
    GuardTooLarge(u64),
}

/// Checked limits of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_files: u32,
    max_file_bytes: u64,
    /// At most [`MAX_LINE_GUARD`].
    line_guard: u32,
}

impl Limits {
    /// Checks the limits. `max_files` is 1..=999,999,999, `max_file_bytes` 1..=`i64::MAX`, `line_guard`
    /// 1..=[`MAX_LINE_GUARD`]; a guard above `max_file_bytes` is lowered to it.
    ///
    /// # Errors
    /// [`LimitError`] names the rule that is broken.
    pub fn checked(
        max_files: u64,
        max_file_bytes: u64,
        line_guard: u64,
    ) -> Result<Limits, LimitError> {
        if max_files == 0 {
            return Err(LimitError::NoFiles);
        }
        let max_files = u32::try_from(max_files)
            .ok()
            .filter(|files| *files <= crate::name::MAX_INDEX)
            .ok_or_else(|| LimitError::TooLarge(max_files.to_string()))?;
        if max_file_bytes == 0 {
            return Err(LimitError::NoBytes);
        }
        // A file's length is an off_t.
        if i64::try_from(max_file_bytes).is_err() {
            return Err(LimitError::TooLarge(max_file_bytes.to_string()));
        }
        if line_guard == 0 {
            return Err(LimitError::NoGuard);
        }
        let line_guard = u32::try_from(line_guard)
            .ok()
            .filter(|guard| u64::from(*guard) <= MAX_LINE_GUARD)
            .ok_or(LimitError::GuardTooLarge(line_guard))?;
        Ok(Limits {
            max_files,
            max_file_bytes,
            line_guard,
        })
    }

    /// Gives the number of files that may exist at once, at least 1.
    #[must_use]
    pub fn max_files(&self) -> usize {
        self.max_files as usize
    }

    /// Gives the number of bytes that a file may have, at least 1.
    #[must_use]
    pub fn max_file_bytes(&self) -> u64 {
        self.max_file_bytes
    }

    /// Gives the length in bytes, newline included, up to which a line is never split; at least 1 and
    /// never more than [`Limits::max_file_bytes`].
    #[must_use]
    pub fn line_guard(&self) -> u64 {
        u64::from(self.line_guard).min(self.max_file_bytes)
    }

    /// Gives the line guard as it was asked for, which may be more than a file can hold.
    #[must_use]
    pub fn asked_line_guard(&self) -> u64 {
        self.line_guard.into()
    }
}

/// Reads a number of bytes: plain digits, or digits and a unit (`B`, `kB`, `KB`, `MB`, `GB` of 1,000;
/// `KiB`, `MiB`, `GiB` of 1,024), without regard to case; nothing else, no sign and no fraction.
///
/// # Errors
/// [`LimitError::NotBytes`] and [`LimitError::TooLarge`].
pub fn parse_bytes(text: &str) -> Result<u64, LimitError> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "kib" => 1024,
        "mib" => 1024 * 1024,
        "gib" => 1024 * 1024 * 1024,
        _ => return Err(LimitError::NotBytes(text.to_owned())),
    };
    if digits.is_empty() {
        return Err(LimitError::NotBytes(text.to_owned()));
    }
    let number: u64 = digits
        .parse()
        .map_err(|_| LimitError::TooLarge(text.to_owned()))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| LimitError::TooLarge(text.to_owned()))
}

/// Reads a number of files: plain digits and nothing else.
///
/// # Errors
/// [`LimitError::NotACount`] and [`LimitError::TooLarge`].
pub fn parse_count(text: &str) -> Result<u64, LimitError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LimitError::NotACount(text.to_owned()));
    }
    text.parse()
        .map_err(|_| LimitError::TooLarge(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_and_overflow_are_refused() {
        assert_eq!(Limits::checked(0, 1, 1), Err(LimitError::NoFiles));
        assert_eq!(Limits::checked(1, 0, 1), Err(LimitError::NoBytes));
        assert_eq!(Limits::checked(1, 1, 0), Err(LimitError::NoGuard));
        assert!(matches!(
            Limits::checked(1, u64::MAX, 1),
            Err(LimitError::TooLarge(_))
        ));
        assert!(matches!(
            Limits::checked(u64::MAX, 1, 1),
            Err(LimitError::TooLarge(_))
        ));
        assert!(matches!(
            Limits::checked(1, 1, u64::MAX),
            Err(LimitError::GuardTooLarge(_))
        ));
    }

    #[test]
    fn a_guard_above_the_file_limit_is_lowered_to_it() {
        assert_eq!(
            Limits::checked(1, 1000, DEFAULT_LINE_GUARD)
                .unwrap()
                .line_guard(),
            1000
        );
        assert_eq!(
            Limits::checked(1, 1 << 20, DEFAULT_LINE_GUARD)
                .unwrap()
                .line_guard(),
            DEFAULT_LINE_GUARD
        );
    }

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("20000", 20_000),
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("10MB", 10_000_000),
            ("2gib", 2_147_483_648),
            ("5B", 5),
            ("3kB", 3000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "-1", "+1", " 1", "1 ", "1.5MB", "MiB", "10 MB", "1e6", "0x10", "1K", "1TiB",
            "1MiBs",
        ] {
            assert!(
                matches!(parse_bytes(text), Err(LimitError::NotBytes(_))),
                "{text:?}"
            );
        }
        for text in ["18446744073709551616", "99999999999GiB"] {
            assert!(
                matches!(parse_bytes(text), Err(LimitError::TooLarge(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn counts_have_no_sign_and_no_unit() {
        assert_eq!(parse_count("3"), Ok(3));
        for text in ["", "-1", "+1", "1.0", "1MiB", "x"] {
            assert!(
                matches!(parse_count(text), Err(LimitError::NotACount(_))),
                "{text:?}"
            );
        }
        assert!(matches!(
            parse_count("99999999999999999999"),
            Err(LimitError::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn a_plain_number_of_bytes_comes_back(bytes in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,30}") {
            let _bytes: Result<u64, LimitError> = parse_bytes(&text);
            let _count: Result<u64, LimitError> = parse_count(&text);
        }
    }
}
