//! Pictures made ready for the terminal: read, scaled and encoded on a thread of their own, kept
//! for as long as they are looked at.

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

/// Pictures that are kept ready: more than any screen shows.
const KEPT: usize = 64;

/// A picture at a size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub node: NodeId,
    pub width: u16,
    pub height: u16,
}

/// How this terminal shows pictures.
#[derive(Clone)]
pub enum Means {
    /// Not at all: a line says what was drawn.
    Words,
    /// Half-blocks, in all colours or in 256.
    Blocks { all_colours: bool },
    /// A graphics protocol.
    Graphics(Box<Picker>),
}

impl Means {
    /// By the protocol that the terminal said it knows, if it knows one; without colour, not at all.
    pub fn of(picker: Option<Picker>, colour: bool, all_colours: bool) -> Means {
        match picker {
            _ if !colour => Means::Words,
            Some(picker) => Means::Graphics(Box::new(picker)),
            None => Means::Blocks { all_colours },
        }
    }
}

/// A picture that is ready.
pub enum Ready {
    Blocks(Blocks),
    Graphics(Box<SlicedProtocol>),
    /// Its file is missing or damaged.
    Missing,
}

pub struct Gallery {
    means: Means,
    /// None where pictures are made ready at once, as in tests.
    workshop: Option<Sender<(Frame, Kept)>>,
    /// None for one that is being made ready.
    frames: HashMap<Frame, Option<Ready>>,
    /// The oldest first.
    order: VecDeque<Frame>,
}

impl Gallery {
    /// A gallery that makes pictures ready whenever it is asked.
    pub fn new(means: Means) -> Gallery {
        Gallery {
            means,
            workshop: None,
            frames: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// A gallery with a thread, which tells the loop of each picture that is ready.
    pub fn open(means: Means, inbox: Sender<Input>) -> Gallery {
        let mut gallery = Gallery::new(means);
        let (sender, orders) = channel();
        let means = gallery.means.clone();
        let work = move || work(&means, &orders, &inbox);
        let started = thread::Builder::new().name("pictures".into()).spawn(work);
        gallery.workshop = started.ok().map(|_| sender);
        gallery
    }

    /// Whether pictures are shown at all.
    pub fn shows(&self) -> bool {
        !matches!(self.means, Means::Words)
    }

    /// Asks for a picture at a size, unless it is there or was asked for.
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

    /// A picture is ready.
    pub fn take(&mut self, frame: Frame, ready: Ready) {
        if let Some(place) = self.frames.get_mut(&frame) {
            *place = Some(ready);
        }
    }

    /// Forgets all of them: the terminal has forgotten its own.
    pub fn forget(&mut self) {
        self.frames.clear();
        self.order.clear();
    }

    /// Draws a picture whose first row is `top` rows below the area's (above, where it is less
    /// than 0). False where it is not ready; the second is whether it ever will be.
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

/// What has become of a picture.
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
