//! Prepares pictures for the terminal: a thread reads, scales and encodes them, and a cache keeps
//! the recent ones.

use super::blocks::Blocks;
use super::inbox::Input;
use crate::model::gan::picture_file::decode_for_terminal;
use crate::story::NodeId;
use crate::studio::Kept;
use image::{DynamicImage, RgbaImage};
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::widgets::Widget;
use ratatui_image::Resize;
use ratatui_image::picker::Picker;
use ratatui_image::sliced::{SignedPosition, SlicedImage, SlicedProtocol};
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The capacity of the cache: more than any screen shows.
const KEPT: usize = 64;

/// A picture and its size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub node: NodeId,
    pub width: u16,
    pub height: u16,
}

/// How this terminal shows pictures.
#[derive(Clone)]
pub enum Means {
    /// As text: a line says what was drawn.
    Words,
    /// Half-blocks, in true colour or 256 colours.
    Blocks { all_colours: bool },
    /// A graphics protocol.
    Graphics(Box<Picker>),
}

impl Means {
    /// Chooses the terminal's graphics protocol if it has one, else half-blocks; without colour,
    /// text.
    pub fn of(picker: Option<Picker>, colour: bool, all_colours: bool) -> Means {
        match picker {
            _ if !colour => Means::Words,
            Some(picker) => Means::Graphics(Box::new(picker)),
            None => Means::Blocks { all_colours },
        }
    }
}

/// A prepared picture.
pub enum Ready {
    Blocks(Blocks),
    Graphics(Box<SlicedProtocol>),
    /// Its file is missing or damaged.
    Missing,
}

pub struct Gallery {
    means: Means,
    /// The preparing thread; None if pictures are prepared synchronously, as in tests.
    workshop: Option<Sender<(Frame, Kept)>>,
    /// The cache; None for a picture in preparation.
    frames: HashMap<Frame, Option<Ready>>,
    /// The cached pictures, oldest first.
    order: VecDeque<Frame>,
}

impl Gallery {
    /// Creates a gallery that prepares pictures synchronously.
    pub fn new(means: Means) -> Gallery {
        Gallery {
            means,
            workshop: None,
            frames: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Creates a gallery with a thread that notifies the loop of each prepared picture.
    pub fn open(means: Means, inbox: Sender<Input>) -> Gallery {
        let mut gallery = Gallery::new(means);
        let (sender, orders) = channel();
        let means = gallery.means.clone();
        let work = move || work(&means, &orders, &inbox);
        let started = thread::Builder::new().name("pictures".into()).spawn(work);
        gallery.workshop = started.ok().map(|_| sender);
        gallery
    }

    /// Whether this terminal shows pictures.
    pub fn shows(&self) -> bool {
        !matches!(self.means, Means::Words)
    }

    /// Requests a picture at a size, unless it is cached or already requested.
    pub fn want(&mut self, frame: Frame, file: Option<Kept>) {
        if !self.shows() || self.frames.contains_key(&frame) {
            return;
        }
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.frames.remove(&oldest);
        }
        self.order.push_back(frame);
        let ready = match (file, &self.workshop) {
            (None, _) => Some(Ready::Missing),
            (Some(file), None) => Some(prepare(&self.means, frame, &file)),
            (Some(file), Some(workshop)) => match workshop.send((frame, file)) {
                Ok(()) => None,
                Err(_) => Some(Ready::Missing),
            },
        };
        self.frames.insert(frame, ready);
    }

    /// A picture has been prepared.
    pub fn take(&mut self, frame: Frame, ready: Ready) {
        if let Some(place) = self.frames.get_mut(&frame) {
            *place = Some(ready);
        }
    }

    /// Clears the cache, because the terminal has dropped its pictures.
    pub fn forget(&mut self) {
        self.frames.clear();
        self.order.clear();
    }

    /// Draws a picture whose first row is `top` rows below the area's top (above, if negative).
    /// Says whether the picture is ready, missing or still in preparation.
    pub fn draw(&self, frame: Frame, area: Rect, top: i32, buffer: &mut Buffer) -> Shown {
        match self.frames.get(&frame) {
            Some(Some(Ready::Blocks(blocks))) => blocks.draw(area, top, buffer),
            Some(Some(Ready::Graphics(picture))) => {
                let at = SignedPosition::from((0, top.clamp(-10_000, 10_000) as i16));
                SlicedImage::new(picture, at).render(area, buffer);
            }
            Some(Some(Ready::Missing)) => return Shown::Missing,
            Some(None) | None => return Shown::Coming,
        }
        Shown::There
    }
}

/// The state of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    There,
    Coming,
    Missing,
}

fn work(means: &Means, orders: &Receiver<(Frame, Kept)>, inbox: &Sender<Input>) {
    for (frame, file) in orders {
        let ready = prepare(means, frame, &file);
        if inbox.send(Input::Picture(frame, Box::new(ready))).is_err() {
            return;
        }
    }
}

fn prepare(means: &Means, frame: Frame, file: &Kept) -> Ready {
    let picture = file
        .bytes()
        .and_then(|bytes| decode_for_terminal(&bytes).ok());
    let made = match (picture, means) {
        (Some(picture), Means::Blocks { all_colours }) => {
            Some(Ready::Blocks(Blocks::new(&picture, frame, *all_colours)))
        }
        (Some(picture), Means::Graphics(picker)) => encoded(picker, picture, frame),
        (None, _) | (_, Means::Words) => None,
    };
    made.unwrap_or(Ready::Missing)
}

fn encoded(picker: &Picker, picture: RgbaImage, frame: Frame) -> Option<Ready> {
    let size = Size::new(frame.width, frame.height);
    let filter = ratatui_image::FilterType::CatmullRom;
    let picture = DynamicImage::ImageRgba8(picture);
    let fit = Resize::Scale(Some(filter));
    let sliced = SlicedProtocol::new_with_resize(picker, picture, size, fit).ok()?;
    Some(Ready::Graphics(Box::new(sliced)))
}
