//! Versions as Nomad reads and compares those of plugins: by the package go-version of HashiCorp. (core)

/// A version: numbers with dots between them, `v` before them or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Three at least: what is left out is 0.
    segments: Vec<i64>,
    has_prerelease: bool,
}

impl Version {
    /// Reads a text; none if go-version refuses it. A prerelease begins with a letter, `-` or `~`, so it may stand
    /// right behind the numbers, as in `0.3.0beta1`, and may be one sign, as in `1.0-`. What is told behind a `+` has
    /// to be there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = match text.split_once('+') {
            Some((text, metadata)) => (text, Some(metadata)),
            None => (text, None),
        };
        let is_core = |c: char| c.is_ascii_digit() || c == '.';
        let (core, prerelease) = text.split_at(text.find(|c| !is_core(c)).unwrap_or(text.len()));
        if ![Some(prerelease).filter(|text| !text.is_empty()), metadata]
            .into_iter()
            .flatten()
            .all(is_dotted)
        {
            return None;
        }
        let mut segments = core
            .split('.')
            .map(|segment| segment.parse().ok())
            .collect::<Option<Vec<i64>>>()?;
        segments.resize(segments.len().max(3), 0);
        Some(Self {
            segments,
            has_prerelease: !prerelease.is_empty(),
        })
    }

    /// Whether go-version takes it for the same as this one, which has three numbers and no prerelease. Zeros at the
    /// end are nothing, and a prerelease behind more than three numbers is not looked at.
    pub(super) fn is(&self, three: [i64; 3]) -> bool {
        let (first, rest) = self.segments.split_at(3);
        first == three
            && rest.iter().all(|segment| *segment == 0)
            && (!self.has_prerelease || !rest.is_empty())
    }
}

/// Words with dots between them, none of which is empty.
fn is_dotted(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'~')
    };
    text.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_version_reads_is_a_version() {
        for text in [
            "1",
            "1.0",
            "v1.2.3",
            "1.2.3.4",
            "17.03.0-ce",
            "1.7rc2",
            "0.3.0beta1",
            "1.2-5",
            "1.2-beta.5",
            "1.0-",
            "1.2.0-x.Y.0+metadata~dist",
            "1.2+a.b-c",
        ] {
            assert!(Version::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_go_version_refuses_is_none() {
        for text in [
            "",
            "v",
            "vv1",
            "1.",
            ".1",
            "1..2",
            "1.2.beta",
            "foo",
            "\n1.2",
            "1.2\n",
            "1.2.3+",
            "1.2+a+b",
            "1.2-a..b",
            "1.2-a.",
            "1.2_3",
            "9223372036854775808",
            "+a",
            "-1",
        ] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn versions_are_the_same_by_their_numbers() {
        let is = |text: &str| Version::parse(text).unwrap().is([0, 1, 0]);
        for text in ["v0.1.0", "0.1.0", "v0.1", "00.01", "0.1.0.0", "0.1+meta"] {
            assert!(is(text), "{text}");
        }
        for text in ["0.1.1", "1.0", "0", "0.1.0-", "0.1beta", "0.1.0.1"] {
            assert!(!is(text), "{text}");
        }
        // As it is, not as one would think.
        assert!(is("0.1.0.0-beta"));
    }
}
