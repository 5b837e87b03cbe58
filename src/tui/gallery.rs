//! Prepares pictures for the terminal: a thread loads, scales and encodes pictures, and a cache
//! retains recent pictures.

use super::half_blocks::{HalfBlocks, PictureSlot};
use super::inbox::Input;
use super::prepared::PreparedPicture;
use crate::studio::PictureSource;
use image::{DynamicImage, RgbaImage};
use imagegen::picture_file::decode_for_terminal;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::widgets::Widget;
use ratatui_image::Resize;
use ratatui_image::picker::Picker;
use ratatui_image::sliced::{SignedPosition, SlicedImage, SlicedProtocol};
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The maximum number of pictures in the cache; this is more than any screen shows.
const KEPT: usize = 64;

/// How the terminal shows pictures.
#[derive(Clone)]
pub enum PictureMode {
    /// A line of text that describes the picture.
    TextOnly,
    /// Half-block characters, in true colour if `all_colours` is true, otherwise in 256 colours.
    HalfBlocks { all_colours: bool },
    /// The terminal's graphics protocol.
    Graphics(Box<Picker>),
}

impl PictureMode {
    /// Chooses text if `colour` is false; otherwise the terminal's graphics protocol, or
    /// half-blocks if the terminal has no such protocol.
    pub fn of(picker: Option<Picker>, colour: bool, all_colours: bool) -> PictureMode {
        match picker {
            _ if !colour => PictureMode::TextOnly,
            Some(picker) => PictureMode::Graphics(Box::new(picker)),
            None => PictureMode::HalfBlocks { all_colours },
        }
    }
}

pub struct Gallery {
    mode: PictureMode,
    /// The thread that prepares pictures; None if they are prepared synchronously, as in tests.
    worker: Option<Sender<(PictureSlot, PictureSource)>>,
    /// The cached pictures. The value is None while a picture is being prepared.
    frames: HashMap<PictureSlot, Option<PreparedPicture>>,
    /// The keys of `frames`, in the order in which they were added.
    order: VecDeque<PictureSlot>,
}

impl Gallery {
    /// Creates a gallery that prepares pictures synchronously.
    pub fn new(mode: PictureMode) -> Gallery {
        Gallery {
            mode,
            worker: None,
            frames: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Creates a gallery with a thread that prepares pictures and notifies the event loop of each
    /// prepared picture.
    pub fn open(mode: PictureMode, inbox: Sender<Input>) -> Gallery {
        let mut gallery = Gallery::new(mode);
        let (sender, orders) = channel();
        let mode = gallery.mode.clone();
        let work = move || prepare_orders(&mode, &orders, &inbox);
        let started = thread::Builder::new().name("pictures".into()).spawn(work);
        gallery.worker = started.ok().map(|_| sender);
        gallery
    }

    /// Whether this terminal shows pictures.
    pub fn shows(&self) -> bool {
        !matches!(self.mode, PictureMode::TextOnly)
    }

    /// Requests a picture at a given size, unless the picture is already cached or requested at
    /// that size.
    pub fn request(&mut self, frame: PictureSlot, file: Option<PictureSource>) {
        if !self.shows() || self.frames.contains_key(&frame) {
            return;
        }
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.frames.remove(&oldest);
        }
        self.order.push_back(frame);
        let ready = match (file, &self.worker) {
            (None, _) => Some(PreparedPicture::Missing),
            (Some(file), None) => Some(prepare(&self.mode, frame, &file)),
            (Some(file), Some(worker)) => match worker.send((frame, file)) {
                Ok(()) => None,
                Err(_) => Some(PreparedPicture::Missing),
            },
        };
        self.frames.insert(frame, ready);
    }

    /// Stores a prepared picture in the cache, unless the picture has been removed from the cache
    /// since it was requested.
    pub fn insert(&mut self, frame: PictureSlot, ready: PreparedPicture) {
        if let Some(place) = self.frames.get_mut(&frame) {
            *place = Some(ready);
        }
    }

    /// Clears the cache, for use when the terminal has discarded the pictures on the screen.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.order.clear();
    }

    /// Draws a picture into `area`. The first row of the picture is `top` rows below the top of the
    /// area (above it if `top` is negative). Returns whether the picture was drawn, is still in
    /// preparation, or is missing.
    pub fn draw(
        &self,
        frame: PictureSlot,
        area: Rect,
        top: i32,
        buffer: &mut Buffer,
    ) -> PictureState {
        match self.frames.get(&frame) {
            Some(Some(PreparedPicture::HalfBlocks(blocks))) => blocks.draw(area, top, buffer),
            Some(Some(PreparedPicture::Graphics(picture))) => {
                let at = SignedPosition::from((0, top.clamp(-10_000, 10_000) as i16));
                SlicedImage::new(picture, at).render(area, buffer);
            }
            Some(Some(PreparedPicture::Missing)) => return PictureState::Missing,
            Some(None) | None => return PictureState::Pending,
        }
        PictureState::Drawn
    }
}

/// Whether a picture was drawn, is still in preparation, or is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureState {
    Drawn,
    Pending,
    Missing,
}

fn prepare_orders(
    mode: &PictureMode,
    orders: &Receiver<(PictureSlot, PictureSource)>,
    inbox: &Sender<Input>,
) {
    for (frame, file) in orders {
        let ready = prepare(mode, frame, &file);
        if inbox.send(Input::Picture(frame, Box::new(ready))).is_err() {
            return;
        }
    }
}

fn prepare(mode: &PictureMode, frame: PictureSlot, file: &PictureSource) -> PreparedPicture {
    let picture = file
        .bytes()
        .and_then(|bytes| decode_for_terminal(&bytes).ok());
    let made = match (picture, mode) {
        (Some(picture), PictureMode::HalfBlocks { all_colours }) => Some(
            PreparedPicture::HalfBlocks(HalfBlocks::new(&picture, frame, *all_colours)),
        ),
        (Some(picture), PictureMode::Graphics(picker)) => encode_graphics(picker, picture, frame),
        (None, _) | (_, PictureMode::TextOnly) => None,
    };
    made.unwrap_or(PreparedPicture::Missing)
}

fn encode_graphics(
    picker: &Picker,
    picture: RgbaImage,
    frame: PictureSlot,
) -> Option<PreparedPicture> {
    let size = Size::new(frame.width, frame.height);
    let filter = ratatui_image::FilterType::CatmullRom;
    let picture = DynamicImage::ImageRgba8(picture);
    let fit = Resize::Scale(Some(filter));
    let sliced = SlicedProtocol::new_with_resize(picker, picture, size, fit).ok()?;
    Some(PreparedPicture::Graphics(Box::new(sliced)))
}
