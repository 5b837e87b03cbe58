//! The code of the worker thread, which handles requests one after another.

use super::backend::{Answer, Backend, Failure, Listener};
use super::image_pipeline::ImagePipeline;
use super::retrieval::{self, Retriever};
use super::suggest::suggest;
use super::trace::RequestTrace;
use super::{LoadError, Loader, Outbox, Stop};
use base::progress::Observer;
use llm::sentence_encoder::SentenceEncoder;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::slice::from_mut;
use std::sync::mpsc;
use story::message::{FailureKind, Measurement, PassageStats, Reply, RequestId, TextRequest};
use story::{Event, NodeId, Request, Status};

/// The state of the worker thread.
pub(super) struct Worker<L> {
    pub(super) loader: L,
    /// The backend in use; None until a model is loaded.
    pub(super) backend: Option<Box<dyn Backend>>,
    /// The reason why no model is loaded, if loading failed.
    why_not: Option<String>,
    /// The image pipeline; None until it is first used.
    pub(super) pipeline: Option<Rc<ImagePipeline>>,
    /// The text encoder; None until it is first used.
    encoder: Option<Rc<SentenceEncoder>>,
    retriever: Option<Retriever>,
}

/// Handles requests until every sender of requests has been dropped.
pub(super) fn work<L: Loader>(
    loader: L,
    inbox: mpsc::Receiver<(RequestId, Request)>,
    replies: &mpsc::Sender<Reply>,
    stop: &Stop,
) {
    let mut worker = Worker {
        loader,
        backend: None,
        why_not: None,
        pipeline: None,
        encoder: None,
        retriever: None,
    };
    for (id, request) in inbox {
        let outbox = Outbox {
            request: id,
            replies,
            stop,
            trace: RequestTrace::new(id.0, &request),
        };
        let node = request.node();
        let answer = catch_unwind(AssertUnwindSafe(|| worker.answer(request, &outbox)));
        let last = match answer {
            Ok(Ok((status, stats))) => Event::Done {
                node,
                status,
                stats,
            },
            Ok(Err(Failure { why, fault, .. })) => Event::Failed { node, why, fault },
            Err(_) => worker.broke(node),
        };
        if !outbox.tell(last) {
            return;
        }
    }
}

/// Returns an answer with the given status and without statistics.
pub(super) fn ended(status: Status) -> Answer {
    Ok((status, PassageStats::default()))
}

impl<L: Loader> Worker<L> {
    fn answer(&mut self, request: Request, outbox: &Outbox) -> Answer {
        // A stopped load keeps the current model; `load` handles this.
        if outbox.is_cancelled() && !matches!(request, Request::Load { .. }) {
            return ended(Status::Stopped);
        }
        match request {
            Request::Load { model } => self.load(&model, outbox),
            Request::Picture(picture) => self.picture(*picture, outbox),
            Request::Text(mut text) => {
                let backend = self.retrieving(from_mut(&mut text), outbox)?;
                backend.write(&text, outbox)
            }
            Request::Candidates(mut several) => {
                let backend = self.retrieving(&mut several, outbox)?;
                backend.candidates(&several, outbox)
            }
            Request::Alternatives(mut text) => {
                let backend = self.retrieving(from_mut(&mut text), outbox)?;
                match backend.alternatives(&text, outbox)? {
                    Some(found) => outbox.answers(Event::Alternatives(found)),
                    None => ended(Status::Stopped),
                }
            }
            Request::Suggest { mut ask, begun } => {
                let backend = self.retrieving(from_mut(&mut ask), outbox)?;
                suggest(backend, &ask, begun, outbox)
            }
            Request::Explain(mut text) => {
                let backend = self.retrieving(from_mut(&mut text), outbox)?;
                let explained = backend.explain(&text)?;
                outbox.answers(Event::Explained(explained))
            }
            Request::Prefetch(text) => {
                if let Some(backend) = &mut self.backend {
                    backend.prefetch(&text, outbox);
                }
                ended(Status::Complete)
            }
            Request::Measure(what) => match self.measure(what, outbox)? {
                Some(number) => outbox.answers(Event::Measured(number)),
                None => ended(Status::Stopped),
            },
            Request::SaveCache => {
                let warm = self.backend()?.save_cache();
                outbox.answers(Event::CacheSaved(warm))
            }
            Request::RestoreCache(warm) => {
                self.backend()?.restore_cache(&warm);
                ended(Status::Complete)
            }
        }
    }

    fn backend(&mut self) -> Result<&mut dyn Backend, Failure> {
        match &mut self.backend {
            Some(backend) => Ok(backend.as_mut()),
            None => {
                let none = "No model is loaded; /model NAME loads one";
                let why = self.why_not.clone().unwrap_or_else(|| none.to_string());
                Err(Failure::new(why, FailureKind::Model))
            }
        }
    }

    /// Measures the perplexity or the similarity of a text; None if stopped. Perplexity needs the
    /// text model, and similarity needs the text encoder.
    fn measure(&mut self, what: Measurement, outbox: &Outbox) -> Result<Option<f64>, Failure> {
        let (text, others) = match what {
            Measurement::Perplexity { before, text } => {
                return self.backend()?.perplexity(&before, &text, outbox);
            }
            Measurement::Similarity { text, others } => (text, others),
        };
        match self.encoder(outbox) {
            Ok(encoder) => Ok(Some(retrieval::similarity(&encoder, &text, &others)?)),
            Err(LoadError::Stopped) => Ok(None),
            Err(LoadError::Failed(why)) => Err(Failure::new(why, FailureKind::Model)),
        }
    }

    /// Inserts retrieved text into the requests, and returns the backend.
    fn retrieving(
        &mut self,
        requests: &mut [TextRequest],
        outbox: &Outbox,
    ) -> Result<&mut dyn Backend, Failure> {
        self.retrieve(requests, outbox)?;
        self.backend()
    }

    /// Inserts retrieved text into the requests. If retrieval is unavailable, the passages are
    /// written without retrieved text.
    fn retrieve(&mut self, requests: &mut [TextRequest], outbox: &Outbox) -> Result<(), Failure> {
        let Some((first, others)) = requests.split_first_mut() else {
            return Ok(());
        };
        if first.retrieval.is_none() {
            return Ok(());
        }
        if self.retriever.is_none() {
            match self.encoder(outbox) {
                Ok(encoder) => self.retriever = Some(Retriever::new(encoder)),
                Err(LoadError::Stopped) => return Ok(()),
                Err(LoadError::Failed(why)) => {
                    let why = format!(
                        "Retrieval is unavailable: {why}; turn it off with /set retrieve 0"
                    );
                    outbox.tell(Event::Warned(why));
                    first.retrieval = None;
                }
            }
        }
        if let (Some(backend), Some(retriever)) = (&self.backend, &mut self.retriever) {
            let found = retriever.retrieve(backend.as_ref(), first, outbox)?;
            outbox.tell(Event::Retrieved(found.unwrap_or_default()));
        }
        for other in others {
            other.context.clone_from(&first.context);
        }
        Ok(())
    }

    /// Returns the text encoder, which is downloaded and loaded when it is first used.
    pub(super) fn encoder(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<Rc<SentenceEncoder>, LoadError> {
        if let Some(encoder) = &self.encoder {
            return Ok(encoder.clone());
        }
        let encoder = self.loader.encoder(observer)?;
        Ok(self.keep_encoder(encoder))
    }

    pub(super) fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    pub(super) fn keep_encoder(&mut self, encoder: SentenceEncoder) -> Rc<SentenceEncoder> {
        self.encoder.insert(Rc::new(encoder)).clone()
    }

    /// Switches to another model. If this fails, the current model stays in use.
    fn load(&mut self, model: &str, outbox: &Outbox) -> Answer {
        match self.loader.load(model, outbox) {
            Ok(backend) => {
                let about = backend.about().clone();
                outbox.tell(Event::Ready(about, backend.capabilities()));
                self.backend = Some(backend);
                self.why_not = None;
                ended(Status::Complete)
            }
            Err(LoadError::Stopped) => ended(Status::Stopped),
            Err(LoadError::Failed(why)) => {
                if self.backend.is_none() {
                    self.why_not = Some(why.clone());
                }
                Err(Failure::new(why, FailureKind::Model))
            }
        }
    }

    /// Handles a panic inside a model. Clears the KV cache, because it may be inconsistent, and
    /// returns the event that reports the failure.
    fn broke(&mut self, node: Option<NodeId>) -> Event {
        if let Some(backend) = &mut self.backend {
            backend.clear_cache();
        }
        Event::Failed {
            node,
            why: "The model failed unexpectedly; the text so far is kept, and /retry tries again"
                .to_string(),
            fault: FailureKind::Engine,
        }
    }
}

impl Outbox<'_> {
    /// Sends `event`, which is the whole answer, and ends the request.
    fn answers(&self, event: Event) -> Answer {
        self.tell(event);
        ended(Status::Complete)
    }
}
