//! What everybody may see of certificates that lie in one file with their key, as the kubelet keeps its own.
//!
//! A certificate is no secret, and when it ends is worth an alarm; only its file is secret, for what else is in it. Pure:
//! text to text, and what is not a whole certificate is left out.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// What every border of PEM begins with.
const BORDER: &str = "-----";

/// The certificates of a PEM text, and nothing else of it.
pub(super) fn certificates(text: &str) -> String {
    let mut shown = String::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (line, &mut block) {
            (BEGIN, _) => block = Some(format!("{BEGIN}\n")),
            (END, Some(whole)) => {
                shown.push_str(whole);
                shown.push_str(END);
                shown.push('\n');
                block = None;
            }
            // Half of one: what follows is something else.
            (border, _) if border.starts_with(BORDER) => block = None,
            (line, Some(half)) => {
                half.push_str(line);
                half.push('\n');
            }
            (_, None) => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use trust::pki::{Authority, Facts, Validity};

    use super::*;

    #[test]
    fn of_a_certificate_and_its_key_only_the_certificate_is_shown() {
        let validity = Validity::starting(Timestamp::now(), Duration::from_secs(3600)).unwrap();
        let minted = Authority::mint("kubelet", validity).unwrap();
        let (certificate, key) = (&minted.certificate, minted.key.as_str());
        assert!(certificate.starts_with(BEGIN) && key.contains("PRIVATE KEY"));
        for text in [format!("{certificate}{key}"), format!("{key}{certificate}")] {
            let shown = certificates(&text);
            assert!(shown.lines().eq(certificate.lines()), "{shown}");
            assert_eq!(Facts::from_pem(&shown).unwrap().common_name, "kubelet");
        }
        let chain = format!("{certificate}{certificate}");
        assert_eq!(certificates(&chain).matches(BEGIN).count(), 2);
    }

    #[test]
    fn what_is_cut_off_shows_nothing_of_what_follows() {
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n";
        for half in [
            format!("{BEGIN}\nabc\n{key}{END}\n"),
            format!("{BEGIN}\nabc\n-----BEGIN PRIVATE KEY-----\nsecret\n{END}\n"),
            format!("{key}{END}\n"),
            format!("{BEGIN}\nabc\n"),
            "secret".to_owned(),
        ] {
            assert_eq!(certificates(&half), "", "{half}");
        }
    }
}
