import Protocol

extension CoordinatorCore {
    /// What the hand wants to be done, said to the sessions that its workers have now.
    func run(_ effects: [Dispatch.Effect]) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .send(let worker, let frame): send(worker, .records(frame))
            case .settled(let worker, let row): send(worker, .settled(term: term, through: row))
            case .write(let number, let facts): [.write(number: number, facts)]
            case .finished(let source, let number): [.finished(source: source, number: number)]
            }
        }
    }

    /// A message to a worker, if it is in session.
    func send(_ worker: WorkerID, _ message: Message) -> [Effect] {
        membership.session(of: worker).map { [.send($0, message)] } ?? []
    }
}
