package import ExportCore
import KubernetesAPI
import Model
package import Protocol
import Synchronization

/// What one leader knows of results in its hand, shared between whoever reads them and whoever writes about them.
///
/// Promises:
/// 1. Nothing is kept of results that are not in hand, but of the last ones written (as many as ``ResultFeed`` remembers) where
///    they were delivered, and of at most ``mostStrangers`` that are looked for.
/// 2. A result stays until what is told of it at every target that was handed it is written.
/// 3. One whose status the server does not take while it takes others' (``StatusDetour``) holds up nobody: it counts as written for
///    whoever waits for that, and as not delivered in the backlog, until it is. What is known of it here alone does not outlive
///    this leader: the next one delivers it again.
package final class KubernetesResultsHands: Sendable {
    /// Now, by the clock that decisions go by, and by one on the wall, milliseconds since 1970.
    struct Time: Sendable {
        var now: Tick
        var wall: Int64
    }

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
        /// There is no object to write about.
        var isLost = false
        /// When it was made, milliseconds since 1970; 0: nobody knows.
        var createdAt: Int64
        /// When this leader first had it in hand: how old it is at the least, whatever clocks on walls show.
        var handedAt: Tick
        /// When the patch was asked for by which it is exported.
        var exportedAt: Tick?
        /// Where it is settled, of what the feed is told when that is written: it is aside.
        var owed = TargetMask(bits: 0)

        /// Targets at which it is settled, and the object does not say so.
        var unwritten: TargetMask {
            let told = foretold.settled.bits | word.settled.bits | owed.bits
            return TargetMask(bits: told & ~seen.status.word.settled.bits)
        }

        func age(_ time: Time) -> UInt64 {
            let made = createdAt == 0 ? 0 : UInt64(max(0, time.wall - createdAt))
            return max(made, time.now.milliseconds(since: handedAt))
        }
    }

    struct State {
        var hands: [RecordKey: Hand] = [:]
        var detour = StatusDetour()
        /// Results that could not even be put aside: how many, and the oldest of them.
        var lost: (count: UInt64, oldest: Hand?) = (0, nil)
        /// Those to complete, by the upper half of their keys.
        var toComplete: [UInt64: RecordKey] = [:]
        /// What is written, and the feed was not told yet.
        var news: [(RecordKey, TargetMask)] = []
        /// Where results were delivered that were written about of late, and when they were exported; and before that.
        var recent: [RecordKey: (targets: TargetMask, at: Tick?)] = [:]
        var former: [RecordKey: (targets: TargetMask, at: Tick?)] = [:]
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
    let state = Mutex(State())

    package init(targets: [String]) {
        self.targets = targets
        mask = TargetMask(first: targets.count)
    }

    // MARK: For whoever reads

    /// A result goes to targets.
    func hand(
        _ key: RecordKey, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen, to: TargetMask,
        now: Tick
    ) {
        state.withLock { state in
            var hand = Self.hand(state.hands[key], batch, entry, seen, now)
            hand.held.bits |= to.bits
            state.hands[key] = hand
        }
    }

    /// Something is to be written about a result that is in nobody's hand.
    func complete(
        _ key: RecordKey, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen, now: Tick
    ) {
        state.withLock { state in
            var hand = Self.hand(state.hands[key], batch, entry, seen, now)
            if let found = state.strangers.removeValue(forKey: key) {
                hand.word.delivered.bits |= found.bits
            }
            hand.isToComplete = true
            state.hands[key] = hand
            state.toComplete[key.high] = key
        }
    }

    private static func hand(
        _ known: Hand?, _ batch: ObjectBatch, _ entry: ObjectEntry, _ seen: StatusRound.Seen, _ now: Tick
    ) -> Hand {
        guard var hand = known else {
            return Hand(
                name: batch.name(entry), namespace: batch.namespace(entry), seen: seen, revision: entry.revision,
                createdAt: entry.createdMilliseconds, handedAt: now)
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

    /// When a result was exported, if that was of late: whoever is shown it so has been shown what happened before.
    func exportedAt(_ key: RecordKey) -> Tick? { state.withLock { ($0.recent[key] ?? $0.former[key])?.at } }

    /// Where a result was delivered, of what was written of late: a view from before that may still call it dead there.
    func deliveredLately(_ key: RecordKey) -> TargetMask {
        state.withLock { state in
            TargetMask(bits: (state.recent[key]?.targets.bits ?? 0) | (state.former[key]?.targets.bits ?? 0))
        }
    }

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

    /// Results that are settled at a target and do not say so: how many, and how old the oldest of them is, milliseconds.
    /// What nobody can write down is exported for nobody but this leader.
    func unwritten(_ time: Time) -> [(count: UInt64, age: UInt64)] {
        state.withLock { state in
            let lost = (count: state.lost.count, age: state.lost.oldest?.age(time) ?? 0)
            var all = targets.map { _ in lost }
            // By index: an iterator copies each, with its names.
            for index in state.hands.indices where !state.hands.values[index].isLost {
                var mask = state.hands.values[index].unwritten.bits
                if mask == 0,
                    state.hands.values[index].isToComplete || state.detour.isAside(state.hands.keys[index])
                {
                    mask = self.mask.bits
                }
                guard mask != 0 else { continue }
                let age = state.hands.values[index].age(time)
                while mask != 0 {
                    let target = mask.trailingZeroBitCount
                    mask &= mask - 1
                    all[target].count += 1
                    all[target].age = max(all[target].age, age)
                }
            }
            return all
        }
    }

    /// Results whose status the server does not take.
    package var asideCount: UInt64 { state.withLock { UInt64($0.detour.count) + $0.lost.count } }

    func note(_ text: String) { state.withLock { Self.note(text, &$0) } }

    static func note(_ text: String, _ state: inout State) {
        if state.notes.count < mostNotes, state.notes.last != text { state.notes.append(text) }
    }
}
