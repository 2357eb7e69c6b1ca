public import Protocol

/// Writes down what became of results that are objects of an API server: one patch for each, whatever is told of it. A pure
/// machine for one round: everything that is to be written now.
///
/// Promises:
/// 1. A patch carries the version of the object from which it follows: what others changed meanwhile is never undone. A
///    conflict is followed by a look, and the look by a patch of what was seen then, if it still says anything new.
/// 2. No state is followed by an earlier one, and nothing by anything once it is `Exported` (``ResultStatus``).
/// 3. An object that is gone is done with; one whose patch the server refuses is told of and left, and holds up no other.
/// 4. What may be one object's own trouble (``Answer/troubled``, or conflicts without end) is left for this round, and the others
///    go on, as long as the server takes any: after ``mostTroubled`` of them with nothing written, or ``mostLeft`` in all, the
///    round ends.
/// 5. A failure that is not the object's ends the round: nothing more is begun, and nobody may take it for written. What became
///    of a patch without an answer shows the next round's look at it.
/// 6. All get their turn before any gets a second one.
public struct StatusRound: Sendable {
    /// An object as it was seen last.
    public struct Seen: Sendable, Equatable {
        /// `metadata.resourceVersion`.
        public var version: String
        /// What it says.
        public var status: ResultStatus
        /// What its annotation says of targets that are not today's, to be kept as it is.
        public var others: String

        /// All parts.
        public init(version: String, status: ResultStatus, others: String = "") {
            self.version = version
            self.status = status
            self.others = others
        }
    }

    /// What is to be asked.
    public enum Step: Sendable, Equatable {
        /// A look at the object.
        case read(RecordKey)
        /// It is to be as in `to`, where that has a later version now.
        case patch(RecordKey, to: Seen)
    }

    /// What the server says.
    public enum Answer: Sendable, Equatable {
        /// The patch was carried out: the object's new version. nil: it cannot be told, or nothing follows.
        case written(version: String?)
        /// This is how it is.
        case found(Seen)
        /// There is none, or another one of this name.
        case gone
        /// It is not in the version any more.
        case conflict
        /// The server does not take this patch, and would not take it again.
        case refused
        /// Nobody knows what became of it, and it may be for this object's sake: an error of the server, as of a webhook that it
        /// asks.
        case troubled
        /// The same, with no answer in time, which may as well be the network's.
        case unanswered
        /// Anything else.
        case failed
    }

    /// What became of an object.
    public enum End: Sendable, Equatable {
        /// It says what it is to say; nil: and its version is not known.
        case written(Seen?)
        /// There is none any more.
        case gone
        /// Nothing can be written about it.
        case refused
    }

    private struct Work: Sendable {
        var word: ResultStatus.Word
        var seen: Seen
        var mustLook = false
        var conflicts = 0
    }

    /// Conflicts of one object in one round. Somebody who writes it as often as that will also be there in the next.
    public static let mostConflicts = 8
    /// So many troubled ones, and nothing written, are the server's trouble.
    public static let mostTroubled = 8
    /// So many that are left end the round, whatever else is written: a server that fails at many is to be spared.
    public static let mostLeft = 64

    private let targets: TargetMask
    private var works: [RecordKey: Work] = [:]
    private var queue: [RecordKey] = []
    private var head = 0
    /// A failure ended it.
    public private(set) var isStopped = false
    /// Objects that the server took a patch of.
    public private(set) var writtenCount = 0
    /// Objects that may have a trouble of their own: they are not written, and not done with.
    public private(set) var left: [RecordKey] = []
    /// Those of them about which nothing came.
    public private(set) var unanswered: Set<RecordKey> = []
    /// Objects whose patch the server refused.
    public private(set) var refused: [RecordKey] = []

    /// Nothing to write.
    public init(targets: TargetMask) { self.targets = targets }

    /// Objects that are not done with.
    public var count: Int { works.count }

    /// Everything is done with.
    public var isComplete: Bool { works.isEmpty }

    /// Whether an object is not done with.
    public func isOpen(_ key: RecordKey) -> Bool { works[key] != nil }

    /// Has something written about an object, along with what is written about it already.
    public mutating func add(_ key: RecordKey, _ word: ResultStatus.Word, _ seen: Seen) {
        if works[key] == nil { queue.append(key) }
        works[key] = Work(word: (works[key]?.word ?? ResultStatus.Word()).adding(word), seen: seen)
    }

    /// What is to be asked next; nil: nothing, until an answer comes. Each step is followed by one ``answer(_:_:)``.
    ///
    /// - Parameters:
    ///   - ended: objects about which nothing needs to be asked.
    ///   - besides: what is told of an object by now, and goes into the same patch.
    public mutating func next(
        _ ended: inout [(RecordKey, End)],
        besides: (RecordKey) -> ResultStatus.Word = { _ in ResultStatus.Word() }
    ) -> Step? {
        while !isStopped, head < queue.count {
            let key = queue[head]
            head += 1
            guard var work = works[key] else { continue }
            if work.mustLook { return .read(key) }
            work.word = work.word.adding(besides(key))
            works[key] = work
            let status = work.seen.status.told(work.word, targets: targets)
            if status != work.seen.status {
                return .patch(key, to: Seen(version: work.seen.version, status: status, others: work.seen.others))
            }
            works[key] = nil
            ended.append((key, .written(work.seen)))
        }
        return nil
    }

    /// Takes in what the server said of an object; what became of it, if that is certain now.
    public mutating func answer(_ key: RecordKey, _ answer: Answer) -> End? {
        guard var work = works[key] else { return nil }
        switch answer {
        case .written(let version):
            works[key] = nil
            writtenCount += 1
            let status = work.seen.status.told(work.word, targets: targets)
            // Of what is exported the version does not matter: no patch follows.
            guard version != nil || status.state == .exported else { return .written(nil) }
            return .written(Seen(version: version ?? work.seen.version, status: status, others: work.seen.others))
        case .gone:
            works[key] = nil
            return .gone
        case .refused:
            works[key] = nil
            refused.append(key)
            return .refused
        case .found(let seen):
            work.seen = seen
            work.mustLook = false
            queue.append(key)
        case .conflict:
            work.mustLook = true
            work.conflicts += 1
            if work.conflicts < Self.mostConflicts { queue.append(key) } else { leave(key) }
        case .troubled, .unanswered:
            if answer == .unanswered { unanswered.insert(key) }
            // A patch that was carried out all the same has a later version.
            work.mustLook = true
            leave(key)
        case .failed:
            isStopped = true
        }
        works[key] = work
        return nil
    }
    private mutating func leave(_ key: RecordKey) {
        left.append(key)
        if left.count >= (writtenCount == 0 ? Self.mostTroubled : Self.mostLeft) { isStopped = true }
    }
}
