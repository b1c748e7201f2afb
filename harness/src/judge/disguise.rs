//! Changes that touch every line alike, recognised as one. (core)

/// What was done to every line, in words, if the observed bytes are the expected ones (or, with
/// `suffix`, an end of them) changed in one regular way.
pub(super) fn disguise(expected: &[u8], observed: &[u8], suffix: bool) -> Option<String> {
    // What is there is right as far as it goes: a loss at most.
    if observed.is_empty() || expected.ends_with(observed) {
        return None;
    }
    let same = |changed: &[u8]| {
        if suffix {
            changed.ends_with(observed)
        } else {
            changed == observed
        }
    };
    if same(&replaced(expected, b"\n", b"\r\n")) {
        return Some("every LF became CR LF".to_owned());
    }
    if same(&replaced(expected, b"\r\n", b"\n")) {
        return Some("every CR LF became LF".to_owned());
    }
    if std::str::from_utf8(expected).is_err() && same(String::from_utf8_lossy(expected).as_bytes())
    {
        return Some("every byte that is no UTF-8 became U+FFFD".to_owned());
    }
    let without_cr: Vec<u8> = expected
        .iter()
        .copied()
        .filter(|&byte| byte != b'\r')
        .collect();
    if without_cr.len() < expected.len() && same(&without_cr) {
        return Some("every CR is gone".to_owned());
    }
    let without_nul: Vec<u8> = expected.iter().copied().filter(|&byte| byte != 0).collect();
    if without_nul.len() < expected.len() && same(&without_nul) {
        return Some("every NUL byte is gone".to_owned());
    }
    around_lines(expected, observed, suffix)
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(old) {
            out.extend_from_slice(new);
            at += old.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// Whether each line has something in front of it, or something before its newline.
fn around_lines(expected: &[u8], observed: &[u8], suffix: bool) -> Option<String> {
    let count = |bytes: &[u8]| bytes.split_inclusive(|&byte| byte == b'\n').count();
    let skip = count(expected).checked_sub(count(observed))?;
    if skip > 0 && !suffix {
        return None;
    }
    let (mut before, mut behind) = (true, true);
    let (mut head, mut tail): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    let lines = expected.split_inclusive(|&byte| byte == b'\n').skip(skip);
    for (line, seen) in lines.zip(observed.split_inclusive(|&byte| byte == b'\n')) {
        before &= seen.len() > line.len() && seen.ends_with(line);
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        let seen_body = seen.strip_suffix(b"\n").unwrap_or(seen);
        behind &= seen_body.len() > body.len() && seen_body.starts_with(body);
        if before {
            head.get_or_insert(&seen[..seen.len() - line.len()]);
        }
        if behind {
            tail.get_or_insert(&seen_body[body.len()..]);
        }
        if !before && !behind {
            return None;
        }
    }
    let (words, what) = if before {
        ("begins", head?)
    } else {
        ("ends", tail?)
    };
    Some(format!(
        "each line {words} with bytes that the task did not write, such as {}",
        super::figures::excerpt(what)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"one\ntwo\r\n\0three\n";

    #[test]
    fn regular_changes_are_named() {
        let of = |observed: &[u8]| disguise(TEXT, observed, false);
        assert_eq!(
            of(b"one\r\ntwo\r\r\n\0three\r\n").as_deref(),
            Some("every LF became CR LF")
        );
        assert_eq!(
            of(b"one\ntwo\n\0three\n").as_deref(),
            Some("every CR LF became LF")
        );
        assert_eq!(
            of(b"one\ntwo\r\nthree\n").as_deref(),
            Some("every NUL byte is gone")
        );
        let prefixed = of(b"12:00 one\n12:01 two\r\n12:02 \0three\n").unwrap();
        assert!(
            prefixed.starts_with("each line begins with") && prefixed.contains("`12:00 `"),
            "{prefixed}"
        );
        let tailed = of(b"one.\ntwo\r.\n\0three.\n").unwrap();
        assert!(
            tailed.starts_with("each line ends with") && tailed.contains("`.`"),
            "{tailed}"
        );
    }

    #[test]
    fn a_loss_is_no_disguise() {
        assert_eq!(disguise(TEXT, b"one\n", false), None);
        assert_eq!(disguise(TEXT, b"", false), None);
        let unix: &[u8] = b"one\ntwo\n";
        assert_eq!(disguise(unix, b"two\n", true), None);
        assert_eq!(disguise(b"one", b"ne", true), None);
        assert_eq!(disguise(TEXT, b"xxx\nyyy\nzzz\n", false), None);
    }

    #[test]
    fn a_retained_end_may_be_disguised_too() {
        assert_eq!(
            disguise(TEXT, b"\0three\r\n", true).as_deref(),
            Some("every LF became CR LF")
        );
        assert!(disguise(TEXT, b"> \0three\n", true).is_some());
    }
}
