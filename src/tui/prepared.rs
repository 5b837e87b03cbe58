//! Pictures scaled and encoded for the terminal.

use super::half_blocks::HalfBlocks;
use ratatui_image::sliced::SlicedProtocol;

/// A picture that is ready.
pub enum PreparedPicture {
    HalfBlocks(HalfBlocks),
    Graphics(Box<SlicedProtocol>),
    /// Its file is missing or damaged.
    Missing,
}
