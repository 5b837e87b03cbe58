//! Drawing on the worker's thread; the image pipeline is loaded on first use and stays loaded.

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
            DrawError::Model(_) => FailureKind::Model,
            _ => FailureKind::Engine,
        };
        let why = error.to_string();
        Failure { why, fault }
    }
}

/// Reports how many pictures are finished.
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
        let node = request.node;
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

    /// The image pipeline; None if stopped.
    fn pipeline(&mut self, outbox: &Outbox) -> Result<Option<Rc<ImagePipeline>>, Failure> {
        if let Some(pipeline) = &self.pipeline {
            return Ok(Some(pipeline.clone()));
        }
        let fault = FailureKind::Model;
        let failed = |error| match error {
            LoadError::Stopped => Ok(None),
            LoadError::Failed(why) => Err(Failure { why, fault }),
        };
        // The weights first: without them there is no use in fetching the encoder.
        let illuminator = match self.loader.illuminator(outbox) {
            Ok(illuminator) => illuminator,
            Err(error) => return failed(error),
        };
        let encoder = match self.encoder(outbox) {
            Ok(encoder) => encoder,
            Err(error) => return failed(error),
        };
        let pipeline = Rc::new(ImagePipeline::new(encoder, illuminator));
        self.pipeline = Some(pipeline.clone());
        Ok(Some(pipeline))
    }

    /// The text model's answer; empty if there is no model. The KV cache is restored afterwards, so
    /// that the story need not be evaluated again.
    fn line(&mut self, ask: &TextRequest, observer: &dyn Observer) -> String {
        let Some(backend) = &mut self.backend else {
            return String::new();
        };
        let kept = backend.save_cache();
        // A line that cannot be had is no reason not to draw.
        let (line, _) = said(backend.as_mut(), ask, &Quiet(observer));
        backend.clear_cache();
        if let Some(kept) = kept {
            backend.restore_cache(&kept);
        }
        line
    }
}
