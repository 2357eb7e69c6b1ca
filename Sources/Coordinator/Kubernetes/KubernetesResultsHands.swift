package import ExportCore
import KubernetesAPI
package import Protocol
import Synchronization

/// What one leader knows of results in its hand, shared between whoever reads them and whoever writes about them.
///
/// Promises:
/// 1. Nothing is kept of results that are not in hand, but of the last ones written (as many as ``ResultFeed`` remembers) where
///    they were delivered, and of at most ``mostStrangers`` that are looked for.
/// 2. A result stays until what is told of it at every target that was handed it is written.
package final class KubernetesResultsHands: Sendable {
    struct Hand: Sendable {
        var name: String
        var namespace: String
        /// As it was seen last.
        var seen: StatusRound.Seen
        var revision: UInt64
        /// Targets that were handed it, and at which it is not settled.
        var held = TargetMask(bits: 0)
        /// Told, and perhaps not written yet.
        var foretold = ResultStatus.Word()
        /// To be written though nobody tells it.
        var word = ResultStatus.Word()
        /// To be written though it is in nobody's hand.
        var isToComplete = false
        /// There is no object to write about, or the server takes no patch of it.
        var isLost = false
    }

    private struct State {
        var hands: [RecordKey: Hand] = [:]
        /// Those to complete, by the upper half of their keys.
        var toComplete: [UInt64: RecordKey] = [:]
        /// What is written, and the feed was not told yet.
        var news: [(RecordKey, TargetMask)] = []
        /// Where results were delivered that were written about of late, and before that.
        var recent: [RecordKey: TargetMask] = [:]
        var former: [RecordKey: TargetMask] = [:]
        /// Where results were delivered that are in nobody's hand: they may be called dead there.
        var strangers: [RecordKey: TargetMask] = [:]
        var hasNewStrangers = false
        var notes: [String] = []
    }

    static let mostStrangers = 1 << 16
    private static let mostNotes = 100

    /// Names of the targets, in the session's order.
    let targets: [String]
    let mask: TargetMask
    private let state = Mutex(State())

    package init(targets: [String]) {
        self.targets = targets
        mask = TargetMask(first: targets.count)
    }

    // MARK: For whoever reads

    /// A result goes to targets.
    func hand(_ key: RecordKey, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen, to: TargetMask) {
        state.withLock { state in
            var hand = Self.hand(state.hands[key], batch, entry, seen)
            hand.held.bits |= to.bits
            state.hands[key] = hand
        }
    }

    /// Something is to be written about a result that is in nobody's hand.
    func complete(_ key: RecordKey, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen) {
        state.withLock { state in
            var hand = Self.hand(state.hands[key], batch, entry, seen)
            if let found = state.strangers.removeValue(forKey: key) {
                hand.word.delivered.bits |= found.bits
            }
            hand.isToComplete = true
            state.hands[key] = hand
            state.toComplete[key.high] = key
        }
    }

    private static func hand(
        _ known: Hand?, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen
    ) -> Hand {
        guard var hand = known else {
            return Hand(
                name: batch.name(entry), namespace: batch.namespace(entry), seen: seen, revision: entry.revision)
        }
        if entry.revision > hand.revision { (hand.seen, hand.revision) = (seen, entry.revision) }
        return hand
    }

    /// A later version of a result, if it is in hand.
    package func saw(_ key: RecordKey, _ seen: StatusRound.Seen, _ revision: UInt64) {
        state.withLock { state in
            guard let hand = state.hands[key], revision > hand.revision else { return }
            state.hands[key]?.seen = seen
            state.hands[key]?.revision = revision
        }
    }

    /// Whether a result is called dead where it was delivered.
    func isRevived(_ key: RecordKey, dead: TargetMask) -> Bool {
        guard !dead.isEmpty else { return false }
        return state.withLock { ($0.strangers[key]?.bits ?? 0) & dead.bits != 0 }
    }

    /// Whether there is somebody to look for since it was last asked.
    func takeSearch() -> Bool {
        state.withLock { state in
            defer { state.hasNewStrangers = false }
            return state.hasNewStrangers
        }
    }

    /// Everything was looked through for these: they are not there, or not called dead.
    func forget(_ strangers: Set<RecordKey>) {
        state.withLock { state in
            for key in strangers { state.strangers[key] = nil }
        }
    }

    /// Results that are looked for.
    var strangers: Set<RecordKey> { state.withLock { Set($0.strangers.keys) } }

    /// What was written since it was last asked.
    func takeNews() -> [(RecordKey, TargetMask)] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }

    func takeNote() -> String? { state.withLock { $0.notes.isEmpty ? nil : $0.notes.removeFirst() } }

    /// Results in hand.
    var count: Int { state.withLock { $0.hands.count } }

    // MARK: For whoever writes

    /// What one round is to write.
    package struct Writing: Sendable {
        package var round: StatusRound
        /// What is told of each result.
        var words: [RecordKey: ResultStatus.Word] = [:]
        /// Those that are completed.
        var completed: Set<RecordKey> = []
        /// What is told of results in nobody's hand.
        var strangers: [(key: RecordKey, word: ResultStatus.Word)] = []
    }

    /// Puts together what is to be written.
    package func writing(_ entries: [StatusEntry]) -> Writing {
        var words: [RecordKey: ResultStatus.Word] = [:]
        var completed: Set<RecordKey> = []
        var order: [RecordKey] = []
        func add(_ key: RecordKey, _ word: ResultStatus.Word) {
            if words[key] == nil { order.append(key) }
            words[key] = words[key]?.adding(word) ?? word
        }
        return state.withLock { state in
            for entry in entries {
                switch entry {
                case .facts(let facts):
                    let word = Self.word(facts)
                    for key in facts.keys { add(key, word) }
                case .finished(let source):
                    guard let key = state.toComplete[source] else { continue }
                    completed.insert(key)
                    add(key, state.hands[key]?.word ?? ResultStatus.Word())
                }
            }
            var round = StatusRound(targets: mask)
            var strangers: [(RecordKey, ResultStatus.Word)] = []
            for key in order {
                guard let word = words[key] else { continue }
                guard let hand = state.hands[key] else {
                    strangers.append((key, word))
                    continue
                }
                if !hand.isLost { round.add(key, word, hand.seen) }
            }
            return Writing(round: round, words: words, completed: completed, strangers: strangers)
        }
    }

    /// A result that is in nobody's hand was delivered.
    private static func meet(_ key: RecordKey, _ word: ResultStatus.Word, _ state: inout State) {
        let known = (state.recent[key]?.bits ?? 0) | (state.former[key]?.bits ?? 0)
        let news = word.delivered.bits & ~known
        guard news != 0 else { return }
        guard state.strangers[key] != nil || state.strangers.count < mostStrangers else {
            note("too many results that were given up are delivered at once; some keep the mark `dead`", &state)
            return
        }
        state.strangers[key, default: TargetMask(bits: 0)].bits |= news
        state.hasNewStrangers = true
    }

    /// What is going to be written.
    package func foresee(_ entries: [StatusEntry]) {
        state.withLock { state in
            for case .facts(let facts) in entries {
                let word = Self.word(facts)
                for key in facts.keys {
                    guard let known = state.hands[key]?.foretold else { continue }
                    state.hands[key]?.foretold = known.adding(word)
                }
            }
        }
    }

    /// What is told of a result by now.
    package func foretold(_ key: RecordKey) -> ResultStatus.Word {
        state.withLock { $0.hands[key]?.foretold ?? ResultStatus.Word() }
    }

    private static func word(_ facts: Dispatch.Facts) -> ResultStatus.Word {
        var word = ResultStatus.Word()
        switch facts.kind {
        case .delivered: word.delivered = TargetMask(facts.target)
        case .dead: word.dead = TargetMask(facts.target)
        case .failed: word.failed = TargetMask(facts.target)
        }
        return word
    }

    /// A result is exported, whatever version it has now: nothing follows.
    package func exported(_ key: RecordKey, _ status: ResultStatus) {
        state.withLock { $0.hands[key]?.seen.status = status }
    }

    /// Where a result's object is.
    func place(of key: RecordKey) -> (namespace: String, name: String)? {
        state.withLock { state in state.hands[key].map { ($0.namespace, $0.name) } }
    }

    /// What became of an object.
    package func ended(_ key: RecordKey, _ end: StatusRound.End, revision: UInt64) {
        state.withLock { state in
            switch end {
            case .written(let seen):
                // What is exported stays so, in whatever version: should the round fail for another's sake, the next one
                // has nothing to ask about it.
                if let seen, let hand = state.hands[key],
                    revision >= hand.revision || seen.status.state == .exported
                {
                    state.hands[key]?.seen = seen
                    state.hands[key]?.revision = max(revision, hand.revision)
                }
            case .gone, .refused: state.hands[key]?.isLost = true
            }
        }
    }

    /// Everything of a round is written: what is settled leaves the hand.
    package func release(_ writing: Writing) {
        state.withLock { state in
            // Not before: a round that is tried again would have everything looked through again for them.
            for (key, word) in writing.strangers { Self.meet(key, word, &state) }
            for (key, word) in writing.words {
                guard var hand = state.hands[key] else { continue }
                var settled = word.settled
                if writing.completed.contains(key) {
                    hand.isToComplete = false
                    hand.word = ResultStatus.Word()
                    state.toComplete[key.high] = nil
                    settled.bits |= hand.seen.status.word.settled.bits
                }
                hand.held.bits &= ~settled.bits
                if !settled.isEmpty { state.news.append((key, settled)) }
                Self.remember(key, word.delivered, &state)
                state.hands[key] = hand.held.isEmpty ? nil : hand
            }
        }
    }

    private static func remember(_ key: RecordKey, _ delivered: TargetMask, _ state: inout State) {
        guard !delivered.isEmpty else { return }
        if state.recent.count >= ResultFeed.overlayCount, state.recent[key] == nil {
            (state.former, state.recent) = (state.recent, [:])
        }
        state.recent[key, default: TargetMask(bits: 0)].bits |= delivered.bits
    }

    func note(_ text: String) { state.withLock { Self.note(text, &$0) } }

    private static func note(_ text: String, _ state: inout State) {
        if state.notes.count < mostNotes, state.notes.last != text { state.notes.append(text) }
    }
}
