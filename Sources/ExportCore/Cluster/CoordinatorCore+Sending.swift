import Protocol

extension CoordinatorCore {
    /// What the hand wants to be done, said to the sessions that its workers have now.
    ///
    /// Mutating, or `self` would be copied before what makes the effects changes `dispatch`, and with that every table in it.
    mutating func run(_ effects: [Dispatch.Effect]) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .send(let worker, let frame): send(worker, .records(frame))
            case .settled(let worker, let row): send(worker, .settled(term: term, through: row))
            case .write(let number, let facts): [.write(number: number, facts)]
            case .finished(let source, let number): [.finished(source: source, number: number)]
            }
        }
    }

    /// A message to a worker, if it is in session. What follows from the end of its last session is not said in the new one,
    /// which begins with `welcome`.
    func send(_ worker: WorkerID, _ message: Message) -> [Effect] {
        guard let session = membership.session(of: worker), hellos[session] == nil else { return [] }
        return [.send(session, message)]
    }
}
