//! Pictures on the worker's thread: what draws is made when it is first needed, and stays.

use super::image_pipeline::{DrawError, ImagePipeline};
use super::{Failure, LoadError, Loader, Worker};
use crate::story::message::{Fault, Stats, TextRequest};
use crate::story::picture::{PictureRequest, Subject, Words};
use crate::story::{Event, Status};
use std::rc::Rc;

impl From<DrawError> for Failure {
    fn from(error: DrawError) -> Failure {
        let fault = match error {
            DrawError::Model(_) => Fault::Model,
            _ => Fault::Engine,
        };
        let why = error.to_string();
        Failure { why, fault }
    }
}

impl<L: Loader> Worker<'_, L> {
    /// Draws what was asked for, and sends it.
    pub(super) fn picture(
        &mut self,
        mut request: PictureRequest,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(Status, Stats), Failure> {
        let ended = |status| Ok((status, Stats::default()));
        let Some(pipeline) = self.pipeline(stopped)? else {
            return ended(Status::Stopped);
        };
        let node = request.node;
        if let Subject::Words(words) | Subject::Scene(words) = &mut request.subject
            && let Words::Passage { text, ask } = words
        {
            let line = self.line(ask, stopped);
            if stopped() {
                return ended(Status::Stopped);
            }
            *words = Words::Given(pipeline.describe(text, &line)?);
        }
        let events = self.events;
        let mut told = |done, total| {
            let _ = events.send(Event::Drawing { node, done, total });
        };
        match pipeline.draw(&request, &mut told, &mut || !stopped())? {
            None => ended(Status::Stopped),
            Some(drawings) => {
                let _ = self.events.send(Event::Drawn { node, drawings });
                ended(Status::Complete)
            }
        }
    }

    /// What draws; None when stopped.
    fn pipeline(
        &mut self,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Rc<ImagePipeline>>, Failure> {
        if let Some(pipeline) = &self.pipeline {
            return Ok(Some(pipeline.clone()));
        }
        let fault = Fault::Model;
        let failed = |error| match error {
            LoadError::Stopped => Ok(None),
            LoadError::Failed(why) => Err(Failure { why, fault }),
        };
        // The weights first: without them there is no use in fetching the encoder.
        let mut progress = super::loading(self.events);
        let illuminator = match self.loader.illuminator(&mut progress, stopped) {
            Ok(illuminator) => illuminator,
            Err(error) => return failed(error),
        };
        let encoder = match self.encoder(stopped) {
            Ok(encoder) => encoder,
            Err(error) => return failed(error),
        };
        let pipeline = Rc::new(ImagePipeline::new(encoder, illuminator));
        self.pipeline = Some(pipeline.clone());
        Ok(Some(pipeline))
    }

    /// What the text model says when it is asked; nothing where there is none. What it had read of
    /// the story is put back afterwards, so that the story is not read again.
    fn line(&mut self, ask: &TextRequest, stopped: &dyn Fn() -> bool) -> String {
        let Some(loaded) = &mut self.loaded else {
            return String::new();
        };
        let kept = loaded.save();
        // A line that cannot be had is no reason not to draw.
        let (line, _) = super::said(loaded, ask, &|_| true, stopped);
        loaded.forget();
        if let Some((ids, bytes)) = kept {
            let _ = loaded.restore(&ids, &bytes);
        }
        line
    }
}
