//! Where everything lies in a repository. Nothing else in the workspace spells these names, but where it says so.
//!
//! ```text
//! NAME                        the bytes of the direct volume NAME: a raw image for every other program
//! .restblk/pool               the repository's marker
//! .restblk/volumes/NAME       the volume's record: it exists if and only if this does
//! .restblk/attachments/NAME   who holds it, while somebody does
//! .restblk/vol/ID/…           the objects of a log volume (spelled by restblk_log)
//! .restblk/trash/TRASH-ID     a volume's record, while it is in the trash
//! .restblk/trash-ends/…       how each stay in the trash ended
//! .restblk/probe/…            scratch objects of the store's proof
//! ```
//! Volume names cannot start with a dot, so the two halves never meet.

use restblk_store::Key;
use restblk_types::{TrashId, VolumeName};

fn key(name: String) -> Key {
    #[expect(
        clippy::expect_used,
        reason = "volume names are single, short path components without special meaning"
    )]
    Key::new(name).expect("a volume's name makes a valid key")
}

/// The bytes of a direct volume.
pub(crate) fn data(volume: &VolumeName) -> Key {
    key(volume.to_string())
}

/// The record of a volume.
pub(crate) fn volume(volume: &VolumeName) -> Key {
    key(format!(".restblk/volumes/{volume}"))
}

/// The folder of all volumes' records.
pub(crate) fn volumes() -> Key {
    key(".restblk/volumes".into())
}

/// Who holds a volume.
pub(crate) fn attachment(volume: &VolumeName) -> Key {
    key(format!(".restblk/attachments/{volume}"))
}

/// The record of a volume in the trash.
pub(crate) fn trashed(id: TrashId) -> Key {
    key(format!(".restblk/trash/{id}"))
}

/// The folder of all that is in the trash.
pub(crate) fn trash() -> Key {
    key(".restblk/trash".into())
}

/// How a stay in the trash ended.
pub(crate) fn trash_end(id: TrashId) -> Key {
    key(format!(".restblk/trash-ends/{id}"))
}

/// The repository's marker.
pub(crate) fn pool() -> Key {
    key(".restblk/pool".into())
}
