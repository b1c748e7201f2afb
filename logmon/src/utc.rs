//! Core: a time of the clock as text, in UTC (RFC 3339).

use std::time::SystemTime;

/// Days of 400 years of the Gregorian calendar, after which it repeats.
const DAYS_PER_CYCLE: u64 = 146_097;
const SECONDS_PER_DAY: u64 = 86_400;

/// Gives the time with milliseconds, such as `2026-02-28T23:59:59.042Z`. What is before 1970 becomes the
/// first moment of 1970.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date(seconds / SECONDS_PER_DAY);
    let of_day = seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date of the day that is so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + 400 * (days / DAYS_PER_CYCLE);
    let mut left = days % DAYS_PER_CYCLE;
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    (year, month, left + 1)
}

fn days_of_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_as_other_programs_tell_them() {
        for (seconds, millis, text) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800, 0, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, 42, "2024-12-31T23:59:59.042Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis);
            assert_eq!(rfc3339(time), text);
        }
    }

    #[test]
    fn a_clock_before_1970_is_no_reason_to_fail() {
        let time = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:00.000Z");
    }
}
