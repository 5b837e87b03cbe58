//! Pictures scaled and encoded for the terminal.

use super::half_blocks::HalfBlocks;
use ratatui_image::sliced::SlicedProtocol;

/// A picture ready to draw.
pub enum PreparedPicture {
    HalfBlocks(HalfBlocks),
    Graphics(Box<SlicedProtocol>),
    /// The picture's file is missing or damaged.
    Missing,
}
