//! The type of pictures that are scaled and encoded for the terminal.

use super::half_blocks::HalfBlocks;
use ratatui_image::sliced::SlicedProtocol;

/// The result of preparing a picture for the terminal.
pub enum PreparedPicture {
    HalfBlocks(HalfBlocks),
    Graphics(Box<SlicedProtocol>),
    /// The picture's file is missing or damaged.
    Missing,
}
