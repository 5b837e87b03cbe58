//! Draws pictures on the worker's thread. The image pipeline is loaded when it is first needed, and
//! stays loaded.

use super::backend::{Answer, Failure, Listener, Quiet};
use super::image_pipeline::{DrawError, ImagePipeline};
use super::suggest::said;
use super::worker::{Worker, ended};
use super::{LoadError, Loader, Outbox};
use base::progress::{Cancelled, Observer};
use std::rc::Rc;
use story::message::{FailureKind, TextRequest};
use story::picture::{PictureRequest, PictureTask, PromptSource};
use story::{Event, NodeId, Status};

impl From<DrawError> for Failure {
    fn from(error: DrawError) -> Failure {
        let fault = match error {
            DrawError::Model(_) | DrawError::BeforeEightBits | DrawError::OtherWeights => {
                FailureKind::Model
            }
            DrawError::Image(_)
            | DrawError::NoWords
            | DrawError::TooLong(_)
            | DrawError::Style(..)
            | DrawError::Many(_)
            | DrawError::Unreadable(..)
            | DrawError::NoUpscaler
            | DrawError::Sampling => FailureKind::Request,
        };
        Failure::new(error.to_string(), fault)
    }
}

/// Returns the answer to a request whose models could not be loaded.
fn not_loaded(error: LoadError) -> Answer {
    match error {
        LoadError::Stopped => ended(Status::Stopped),
        LoadError::Failed(why) => Err(Failure::new(why, FailureKind::Model)),
    }
}

/// Reports the number of finished pictures as events of the request.
struct DrawnPicture<'a> {
    node: NodeId,
    outbox: &'a Outbox<'a>,
}

impl Observer for DrawnPicture<'_> {
    fn progress(&self, _: &str, done: u64, total: Option<u64>) {
        let node = self.node;
        let (done, total) = (done as usize, total.unwrap_or_default() as usize);
        self.outbox.tell(Event::Drawing { node, done, total });
    }

    fn check(&self) -> Result<(), Cancelled> {
        self.outbox.check()
    }
}

impl<L: Loader> Worker<L> {
    /// Draws the requested pictures and sends them.
    pub(super) fn picture(&mut self, mut request: PictureRequest, outbox: &Outbox) -> Answer {
        let Some(pipeline) = self.pipeline(outbox)? else {
            return ended(Status::Stopped);
        };
        if request.enlarged && pipeline.upscaler.get().is_none() {
            match self.loader.upscaler(outbox) {
                Ok(upscaler) => drop(pipeline.upscaler.set(upscaler)),
                Err(error) => return not_loaded(error),
            }
        }
        let node = request.node;
        // Loading is finished.
        let (done, total) = (0, 0);
        outbox.tell(Event::Drawing { node, done, total });
        if let PictureTask::Prompt(words) | PictureTask::Scene(words) = &mut request.task
            && let PromptSource::Passage { text, ask } = words
        {
            let line = self.line(ask, outbox);
            if outbox.is_cancelled() {
                return ended(Status::Stopped);
            }
            *words = PromptSource::Given(pipeline.describe(text, &line)?);
        }
        match pipeline.draw(&request, &DrawnPicture { node, outbox })? {
            None => ended(Status::Stopped),
            Some(drawings) => {
                outbox.tell(Event::Drawn { node, drawings });
                ended(Status::Complete)
            }
        }
    }

    /// Returns the image pipeline, which is loaded if necessary. Returns None if loading was
    /// stopped.
    fn pipeline(&mut self, outbox: &Outbox) -> Result<Option<Rc<ImagePipeline>>, Failure> {
        if let Some(pipeline) = &self.pipeline {
            return Ok(Some(pipeline.clone()));
        }
        match self.load_pipeline(outbox) {
            Ok(pipeline) => {
                let pipeline = Rc::new(pipeline);
                self.pipeline = Some(pipeline.clone());
                Ok(Some(pipeline))
            }
            Err(error) => not_loaded(error).map(|_| None),
        }
    }

    /// Loads the image model, and the text encoder unless retrieval has loaded it already.
    fn load_pipeline(&mut self, outbox: &Outbox) -> Result<ImagePipeline, LoadError> {
        let illuminator = match self.has_encoder() {
            true => self.loader.illuminator(outbox)?,
            false => {
                let (illuminator, encoder) = self.loader.illuminator_and_encoder(outbox)?;
                self.keep_encoder(encoder);
                illuminator
            }
        };
        Ok(ImagePipeline::new(self.encoder(outbox)?, illuminator))
    }

    /// Returns the text model's description of a passage, or an empty string if no text model is
    /// loaded. Afterwards, the KV cache is restored, so that the story need not be evaluated again.
    fn line(&mut self, ask: &TextRequest, observer: &dyn Observer) -> String {
        let Some(backend) = &mut self.backend else {
            return String::new();
        };
        let kept = backend.save_cache();
        // Even without a line, the picture is drawn.
        let (line, _) = said(backend.as_mut(), ask, &Quiet(observer));
        backend.clear_cache();
        if let Some(kept) = kept {
            backend.restore_cache(&kept);
        }
        line
    }
}
