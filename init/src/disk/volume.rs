//! What becomes of a volume, STATE or DATA: kept, formatted, or left alone.
//!
//! Pure: the volume's first bytes in, a verdict out. That the partition around it is ours is
//! known already (`facts`). A file system that was ever mounted is never formatted.

use super::facts;

/// What is known of the disk around a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// The disk is still claimed: its volumes were never in use.
    Unfinished,
    /// The disk was made, by us or by hand.
    Done,
}

/// What to do with a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Check and mount it.
    Keep,
    /// Make its file system.
    Format,
    /// Touch nothing: it holds this.
    Refuse(String),
}

/// Judges the volume that should be labelled `label` by its first bytes.
#[must_use]
pub fn judge(head: &[u8], label: &str, making: Making) -> Verdict {
    if let Some(ext) = facts::ext(head) {
        let is_ours = ext.label == label;
        return match making {
            // mke2fs may have been cut off behind its superblock: once more costs a second.
            // Its sector may be torn, too: then only the label's beginning is there, or nothing of it.
            Making::Unfinished if !ext.was_mounted && label.starts_with(&ext.label) => Verdict::Format,
            _ if is_ours => Verdict::Keep,
            _ => Verdict::Refuse(ext.to_string()),
        };
    }
    if let Some(kind) = facts::known_kind(head) {
        return Verdict::Refuse(kind.to_owned());
    }
    let is_blank = facts::is_zero(head);
    match making {
        // Whatever mke2fs writes before its superblock.
        Making::Unfinished => Verdict::Format,
        Making::Done if is_blank => Verdict::Format,
        Making::Done => Verdict::Refuse("data of an unknown kind".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 128 << 10];
        for (at, mark) in marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        bytes
    }

    const EXT: (usize, &[u8]) = (1080, &[0x53, 0xef]);
    const LABEL: (usize, &[u8]) = (1144, b"slipway-state");
    const MOUNTED_ONCE: (usize, &[u8]) = (1024 + 52, &[1]);

    fn verdicts(marks: &[(usize, &[u8])]) -> (Verdict, Verdict) {
        let head = head(marks);
        let judge = |making| judge(&head, "slipway-state", making);
        (judge(Making::Unfinished), judge(Making::Done))
    }

    #[test]
    fn a_new_volume_is_formatted_and_one_of_ours_kept() {
        assert_eq!(verdicts(&[]), (Verdict::Format, Verdict::Format));
        assert_eq!(verdicts(&[EXT, LABEL]).1, Verdict::Keep);
    }

    #[test]
    fn a_volume_whose_making_was_cut_off_is_made_again() {
        assert_eq!(verdicts(&[EXT, LABEL]).0, Verdict::Format);
        assert_eq!(verdicts(&[EXT]).0, Verdict::Format);
        assert_eq!(verdicts(&[EXT, (1144, b"slipw")]).0, Verdict::Format);
        assert!(matches!(verdicts(&[EXT, (1144, b"slipw")]).1, Verdict::Refuse(_)));
        assert_eq!(verdicts(&[(70_000, b"some of an inode table")]).0, Verdict::Format);
    }

    #[test]
    fn a_volume_that_was_ever_mounted_is_never_formatted() {
        assert_eq!(verdicts(&[EXT, LABEL, MOUNTED_ONCE]), (Verdict::Keep, Verdict::Keep));
        assert!(matches!(verdicts(&[EXT, MOUNTED_ONCE]).0, Verdict::Refuse(_)));
    }

    #[test]
    fn what_somebody_else_put_there_is_left_alone_and_named() {
        for (mark, what) in [
            ((0, &b"XFSB"[..]), "an XFS file system"),
            ((0, b"LUKS\xba\xbe"), "a LUKS volume"),
            ((0x1_0040, b"_BHRfS_M"), "a btrfs file system"),
        ] {
            let refused = Verdict::Refuse(what.to_owned());
            assert_eq!(verdicts(&[mark]), (refused.clone(), refused));
        }
        assert!(matches!(verdicts(&[EXT, (1144, b"photos")]).0, Verdict::Refuse(_)));
        assert!(matches!(verdicts(&[(70_000, b"anything")]).1, Verdict::Refuse(_)));
    }
}
