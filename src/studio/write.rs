//! Runs the commands that generate text: a typed line, `/continue`, `/retry`, `/gen`, `/fill`, and
//! the choice of an alternative.

use super::pending::Purpose;
use super::request::{Ask, healing};
use super::session::Afterwards;
use super::{Outcome, Refusal, Studio, Work, cannot, derive};
use base::untrusted::clean;
use story::command::{Completion, ContinueLength, TokenChoice};
use story::context::separator_before;
use story::frame::FrameChange;
use story::message::TextRequest;
use story::record::{Change, HeadMove, PassageEnd, Step, StepKind};
use story::{
    Author, Mode, ModelIdentity, Node, NodeId, Place, Provenance, Record, Request, Status, edit,
    places,
};

impl Studio {
    /// Adds text to the story and lets the model continue.
    pub fn write(&mut self, text: &str, author: Author) -> Result<Outcome, Refusal> {
        let words = self.joined(&clean(text), author);
        let parent = words.id;
        if let Err(refusal) = self.record(vec![Record::Node(words)]) {
            // The text stays in memory until the disk works; an empty line continues from it.
            let (to, why) = (Some(parent), StepKind::Write);
            let _ = self.record(vec![Record::Head(HeadMove { to, why })]);
            return Err(refusal);
        }
        self.start(Place::after(Some(parent)), StepKind::Write, healing())
    }

    /// Continues a prompt for another program. The new text has exactly the set length, and the
    /// session's seed is used unchanged.
    pub(super) fn complete(&mut self, completion: Completion) -> Result<Outcome, Refusal> {
        let Completion {
            prompt,
            voice,
            overflow,
        } = completion;
        let mut changes = Vec::new();
        if voice.is_some() {
            let set = FrameChange::Voice { voice };
            changes.push(Change::Frame { set });
        }
        let prompt = self.joined(&prompt, Author::Prompt);
        let (place, to) = (Place::after(Some(prompt.id)), Some(prompt.id));
        changes.insert(0, Change::Head { to });
        let step = Step {
            why: StepKind::Write,
            changes,
        };
        self.record(vec![Record::Node(prompt), Record::Step(step)])?;
        let seed = self.session.settings.sampling.seed;
        let ask = Ask {
            seed: Some(seed.unwrap_or(self.setup.entropy)),
            exact: true,
            overflow,
            ..Ask::default()
        };
        self.start(place, StepKind::Write, ask)
    }

    /// The passage that would be added if this text were appended to the story.
    pub(super) fn joined(&self, text: &str, author: Author) -> Node {
        let turn = self.session.settings.mode == Mode::Chat;
        let gap = if turn {
            ""
        } else {
            separator_before(&self.session.story, text)
        };
        Node {
            id: self.session.story.next_id(),
            parent: self.session.story.head(),
            author,
            text: format!("{gap}{text}"),
            turn,
            ..Node::default()
        }
    }

    pub(super) fn go_on(
        &mut self,
        reach: ContinueLength,
        instruct: Option<String>,
    ) -> Result<Outcome, Refusal> {
        if self.session.story.head().is_none() {
            return Err(cannot("The story is empty; write its first line"));
        }
        let instruct = instruct.map(|text| clean(&text).into_owned());
        let ask = Ask {
            reach,
            instruct,
            ..healing()
        };
        self.start(
            Place::after(self.session.story.head()),
            StepKind::Write,
            ask,
        )
    }

    pub(super) fn retry(&mut self, seed: Option<u64>) -> Result<Outcome, Refusal> {
        let place = self.place_to_retry()?;
        // The new version gets the same instruction as the old one.
        let head = self
            .session
            .story
            .head()
            .and_then(|id| self.session.story.node(id));
        let how = head.and_then(|node| node.provenance.as_ref());
        let instruct = how.and_then(|how| how.instruct.clone());
        self.start(
            place,
            StepKind::Retry,
            Ask {
                seed,
                instruct,
                ..healing()
            },
        )
    }

    fn place_to_retry(&self) -> Result<Place, Refusal> {
        let head = self
            .session
            .story
            .head()
            .and_then(|id| self.session.story.node(id));
        let head = head.ok_or_else(|| cannot("There is nothing to regenerate yet"))?;
        let base = self
            .session
            .story
            .node(self.session.story.first_part(head.id))
            .unwrap_or(head);
        Ok(match base.author {
            Author::Model => base.place(),
            Author::Prompt | Author::User => Place::after(Some(head.id)),
        })
    }

    /// Generates several continuations of the current story, each with its own seed.
    pub(super) fn gen_several(&mut self, count: usize) -> Result<Outcome, Refusal> {
        if self.session.story.head().is_none() {
            return Err(cannot("The story is empty; write its first line"));
        }
        let place = Place::after(self.session.story.head());
        let ask = healing();
        let (mut records, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let id = self.session.story.next_id() + records.len() as NodeId;
            let (node, request) = self.passage(id, place, &ask);
            records.push(Record::Node(node));
            requests.push(request);
        }
        let first = self.session.story.next_id();
        let (to, why) = (Some(first), StepKind::Write);
        records.push(Record::Head(HeadMove { to, why }));
        let passages: Vec<NodeId> = requests.iter().map(|request| request.node).collect();
        self.session.candidates.clone_from(&passages);
        self.submit(records, passages, Request::Candidates(requests))?;
        Ok(Outcome::Started(first))
    }

    /// Inserts generated text at a place inside the story, between the text before the place and
    /// the text after it.
    pub(super) fn fill(&mut self, place: Option<&str>) -> Result<Outcome, Refusal> {
        let place = places::find_place(&self.session.story, place.unwrap_or("."))?;
        let head = self.session.story.head();
        let path = self.session.story.path();
        let found = place
            .node
            .and_then(|id| places::index_on_path(&self.session.story, &path, id));
        let Some(index) = found else {
            return Err(cannot("This passage is not on the current branch"));
        };
        let from = place
            .cut
            .unwrap_or(path[index].text.len())
            .min(path[index].text.len());
        let mut after = path[index].text[from..].to_string();
        after.extend(path[index + 1..].iter().map(|passage| passage.text));
        if after.trim().is_empty() {
            return self.start(place, StepKind::Write, healing());
        }
        let ask = Ask {
            after: Some(after),
            ..Ask::default()
        };
        let node = self.session.story.next_id();
        let started = self.start(place, StepKind::Fill, ask)?;
        self.session
            .afterwards
            .insert(node, Afterwards::Graft { head, index, from });
        Ok(started)
    }

    /// Copies the rest of the old path (everything after the insertion point) to the end of an
    /// inserted passage.
    pub(super) fn graft(
        &mut self,
        node: NodeId,
        head: Option<NodeId>,
        index: usize,
        from: usize,
    ) -> Result<(), Refusal> {
        let path = self.session.story.path_to(head);
        let made = edit::copy_rest_to(
            &self.session.story,
            &path,
            index,
            from,
            Place::after(Some(node)),
        );
        // One undo reverts both the passage and the appended text.
        let mut records = vec![Record::Undo(story::record::StepCount { steps: 1 })];
        records.extend(made.nodes.into_iter().map(Record::Node));
        let (to, why) = (made.head, StepKind::Fill);
        records.push(Record::Head(HeadMove { to, why }));
        self.record(records)
    }

    pub(super) fn choose(&mut self, choice: &TokenChoice) -> Result<Outcome, Refusal> {
        let ask = Ask {
            begin: vec![choice.id],
            ..Ask::default()
        };
        self.start(choice.place, StepKind::Choose, ask)
    }

    /// Starts a passage at a place and requests its text from the engine.
    pub(super) fn start(
        &mut self,
        place: Place,
        why: StepKind,
        ask: Ask,
    ) -> Result<Outcome, Refusal> {
        let id = self.session.story.next_id();
        let (node, request) = self.passage(id, place, &ask);
        let mut records = vec![Record::Node(node)];
        if !ask.aside {
            let to = Some(id);
            records.push(Record::Head(HeadMove { to, why }));
        }
        self.session.candidates.clear();
        self.submit(records, vec![id], Request::Text(request))?;
        Ok(Outcome::Started(id))
    }

    /// Records that passages have started, then submits the request that generates them.
    fn submit(
        &mut self,
        records: Vec<Record>,
        passages: Vec<NodeId>,
        request: Request,
    ) -> Result<(), Refusal> {
        let begun = self.record(records);
        if let Err(refusal) = begun.and_then(|()| self.sync()) {
            // Nothing will generate these passages, so they must not stay marked as running.
            for node in self.session.story.all_running().to_vec() {
                let (status, why) = (Status::Failed, Some(refusal.to_string()));
                let (maker, rewound, shared) = (None, Vec::new(), None);
                let ended = PassageEnd {
                    node,
                    status,
                    why,
                    maker,
                    rewound,
                    shared,
                };
                let _ = self.record(vec![Record::End(ended)]);
            }
            return Err(refusal);
        }
        self.send(request, Purpose::Passages(passages), Work::Writing);
        Ok(())
    }

    /// Returns a passage that is still to be generated, and the request that generates it.
    fn passage(&mut self, id: NodeId, place: Place, ask: &Ask) -> (Node, TextRequest) {
        let base = self
            .session
            .settings
            .sampling
            .seed
            .unwrap_or(self.setup.entropy);
        let seed = ask.seed.unwrap_or_else(|| derive(base, id));
        let path = self.session.story.path_at(place);
        let (request, lore, missed) = self.ask(id, &path, ask, seed);
        self.session.rejected_lore = missed;
        let maker = self.about.as_ref().map_or(ModelIdentity::default(), maker);
        let how = Provenance {
            maker,
            build: self.setup.build.clone(),
            seed,
            mode: self.session.settings.mode,
            sampling: request.sampling.clone(),
            context_digest: request.context.digest(),
            instruct: ask.instruct.clone(),
            goal: request.goal.clone(),
            lore,
            begin: ask.begin.clone(),
            shared: None,
        };
        let node = Node {
            id,
            parent: place.node,
            cut: place.cut,
            author: Author::Model,
            aside: ask.aside,
            turn: self.session.settings.mode == Mode::Chat,
            status: Status::Running,
            provenance: Some(how),
            ..Node::default()
        };
        (node, request)
    }
}

pub(super) fn maker(about: &story::ModelInfo) -> ModelIdentity {
    ModelIdentity {
        model: about.name.clone(),
        model_sha256: about.sha256.clone(),
        backend: about.backend.clone(),
        cannot: about.cannot.clone(),
    }
}
