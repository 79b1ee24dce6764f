//! Where a log's tiles stand.

use alloc::format;
use alloc::string::String;

/// The path of a tile of hashes, below a log's prefix; `width` 256 names a full tile.
///
/// Source: c2sp.org/tlog-tiles, "Merkle Tree".
pub fn tile_path(level: u8, index: u64, width: u16) -> String {
    format!("tile/{level}/{}", numbered(index, width))
}

/// The path of a bundle of entries, below a log's prefix; `width` 256 names a full bundle.
///
/// Source: c2sp.org/tlog-tiles, "Log entries".
pub fn entries_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", numbered(index, width))
}

fn numbered(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut above = index / 1000;
    while above > 0 {
        path = format!("x{:03}/{path}", above % 1000);
        above /= 1000;
    }
    if width < 256 { format!("{path}.p/{width}") } else { path }
}
