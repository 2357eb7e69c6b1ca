package import ExportCore
package import Model
package import Protocol
import Synchronization

/// What a leader knows of results in its hand, for whoever writes about them.
extension KubernetesResultsHands {
    /// What one round is to write.
    package struct Writing: Sendable {
        package var round: StatusRound
        /// What is told of each result.
        var words: [RecordKey: ResultStatus.Word] = [:]
        /// Those that are completed.
        var completed: Set<RecordKey> = []
        /// What is told of results in nobody's hand.
        var strangers: [(key: RecordKey, word: ResultStatus.Word)] = []
        /// Those that were aside when it began.
        var aside: Set<RecordKey> = []
    }

    /// So many others go along with those that failed, to see whether the server takes anything.
    private static let companyCount = 8

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
            var aside: Set<RecordKey> = []
            if state.detour.hasSuspects {
                Self.addCompany(to: &round, besides: words, state)
                // Those that failed come last: what ends the round for their sake ends it for nobody else.
                let suspects = order.filter { state.detour.isSuspect($0) }
                order = order.filter { !state.detour.isSuspect($0) } + suspects
            }
            for key in order {
                guard let word = words[key] else { continue }
                guard let hand = state.hands[key] else {
                    strangers.append((key, word))
                    continue
                }
                if state.detour.isAside(key) {
                    aside.insert(key)
                } else if !hand.isLost {
                    round.add(key, word, hand.seen)
                }
            }
            return Writing(
                round: round, words: words, completed: completed, strangers: strangers, aside: aside)
        }
    }

    /// Others of which something is foretold: if they can be written, it is not the server that fails.
    private static func addCompany(
        to round: inout StatusRound, besides words: [RecordKey: ResultStatus.Word], _ state: State
    ) {
        for (key, hand) in state.hands where round.count < companyCount {
            guard words[key] == nil, !hand.isLost, !hand.unwritten.isEmpty, !state.detour.isSuspect(key) else {
                continue
            }
            round.add(key, hand.foretold, hand.seen)
        }
    }

    /// A round is over: what was settled leaves the hand if all is written that it was to write, or is put aside. Whether it is,
    /// and what was put aside for failing.
    package func finish(
        _ writing: Writing, _ round: StatusRound, now: Tick
    ) -> (isDone: Bool, aside: [RecordKey]) {
        state.withLock { state in
            for key in writing.words.keys where !round.isOpen(key) && !state.detour.isAside(key) {
                state.detour.settled(key, now: now)
            }
            for key in round.refused where writing.words[key] != nil {
                if !state.detour.putAside(key, now: now) { Self.lose(key, &state) }
            }
            let aside = round.left.filter {
                state.detour.left(
                    $0, amongSuccess: round.writtenCount > 0, isAnswered: !round.unanswered.contains($0), now: now)
            }
            let isDone = writing.words.allSatisfy { key, word in
                if state.detour.isAside(key) { return true }
                // One that came back meanwhile may have been written before this was told.
                guard writing.aside.contains(key), let hand = state.hands[key], !hand.isLost else {
                    return !round.isOpen(key)
                }
                return hand.seen.status.told(word, targets: mask) == hand.seen.status
            }
            if isDone { Self.release(writing, &state) }
            return (isDone, aside)
        }
    }

    /// There is no room to keep it aside. It counts as not delivered for the rest of the term, for nobody looks at it again.
    private static func lose(_ key: RecordKey, _ state: inout State) {
        guard let hand = state.hands[key] else { return }
        state.hands[key]?.isLost = true
        state.lost.count += 1
        if state.lost.oldest.map({ hand.createdAt < $0.createdAt }) ?? true { state.lost.oldest = hand }
    }

    // MARK: Aside

    /// What is to be tried once more, of what is aside; nil: nothing now. To be followed by ``finishAside(_:_:now:)``.
    package func writingAside(now: Tick) -> Writing? {
        state.withLock { state in
            let due = state.detour.takeDue(now: now)
            guard !due.isEmpty else { return nil }
            var writing = Writing(round: StatusRound(targets: mask))
            for key in due {
                guard let hand = state.hands[key] else {
                    state.detour.settled(key, now: now)
                    continue
                }
                let word = hand.foretold.adding(hand.word)
                writing.words[key] = word
                writing.round.add(key, word, hand.seen)
            }
            return writing
        }
    }

    /// Those tries are over.
    package func finishAside(_ writing: Writing, _ round: StatusRound, now: Tick) {
        state.withLock { state in
            for key in writing.words.keys {
                guard !round.isOpen(key), !round.refused.contains(key) else {
                    state.detour.failed(key, now: now)
                    continue
                }
                state.detour.settled(key, now: now)
                guard var hand = state.hands[key] else { continue }
                if !hand.owed.isEmpty { state.news.append((key, hand.owed)) }
                Self.remember(
                    key, TargetMask(bits: hand.owed.bits & hand.seen.status.word.delivered.bits), &state,
                    hand.exportedAt)
                hand.owed = TargetMask(bits: 0)
                state.hands[key] = hand.held.isEmpty && !hand.isToComplete ? nil : hand
            }
        }
    }

    // MARK: Facts

    /// A result that is in nobody's hand was delivered.
    private static func meet(_ key: RecordKey, _ word: ResultStatus.Word, _ state: inout State) {
        let known = (state.recent[key]?.targets.bits ?? 0) | (state.former[key]?.targets.bits ?? 0)
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
    ///
    /// - Parameter asked: when that was asked for.
    package func exported(_ key: RecordKey, _ status: ResultStatus, asked: Tick) {
        state.withLock { state in
            state.hands[key]?.seen.status = status
            state.hands[key]?.exportedAt = asked
        }
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
            case .gone: state.hands[key]?.isLost = true
            case .refused: break
            }
        }
    }

    /// Everything of a round is written, or aside: what is settled leaves the hand.
    private static func release(_ writing: Writing, _ state: inout State) {
        // Not before: a round that is tried again would have everything looked through again for them.
        for (key, word) in writing.strangers { meet(key, word, &state) }
        for (key, word) in writing.words {
            guard var hand = state.hands[key] else { continue }
            var settled = word.settled
            if writing.completed.contains(key) {
                hand.isToComplete = false
                state.toComplete[key.high] = nil
                settled.bits |= hand.seen.status.word.settled.bits
            }
            hand.held.bits &= ~settled.bits
            guard !state.detour.isAside(key) else {
                // The feed goes on taking it for in hand, or would hand it over again.
                hand.owed.bits |= settled.bits
                hand.word = hand.word.adding(word)
                state.hands[key] = hand
                continue
            }
            hand.word = ResultStatus.Word()
            if !settled.isEmpty { state.news.append((key, settled)) }
            remember(key, word.delivered, &state, hand.exportedAt)
            state.hands[key] = hand.held.isEmpty ? nil : hand
        }
    }

    private static func remember(_ key: RecordKey, _ delivered: TargetMask, _ state: inout State, _ at: Tick?) {
        guard !delivered.isEmpty else { return }
        if state.recent.count >= ResultFeed.overlayCount, state.recent[key] == nil {
            (state.former, state.recent) = (state.recent, [:])
        }
        state.recent[key] = (TargetMask(bits: (state.recent[key]?.targets.bits ?? 0) | delivered.bits), at)
    }
}
