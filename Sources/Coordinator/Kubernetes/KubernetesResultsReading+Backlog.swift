import ExportCore
import KubernetesAPI
package import Model
import Synchronization

/// What waits, as far as whoever reads an API server's results can tell.
extension KubernetesResultsReading {
    /// What was seen and not handed over, one at least where nobody knows, and what is settled and does not say so.
    ///
    /// - Parameter failing: since when nothing can be read.
    package func backlog(failing: Tick?, now: Tick, unixMilliseconds wall: Int64) -> [SourceBacklog] {
        let hidden = max(refused.before, refused.now)
        // What nobody has asked for may be there, as old as that.
        let isBehind = failing != nil || now.milliseconds(since: shown.until) >= Self.behindMilliseconds
        let unwritten = hands.unwritten(KubernetesResultsHands.Time(now: now, wall: wall))
        return hands.targets.indices.map { target in
            var (count, oldest) = unhanded(target)
            count += UInt64(hidden) + unwritten[target].count
            if isBehind { count = max(count, 1) }
            guard count > 0 else { return SourceBacklog(records: 0, oldestMilliseconds: nil) }
            var age = max(oldest.map { UInt64(max(0, wall - $0)) } ?? 0, unwritten[target].age)
            let unread = isBehind ? shown.until : nil
            for since in [behindSince[target], failing, unread, hidden > 0 ? refused.since : nil] {
                if let since { age = max(age, now.milliseconds(since: since)) }
            }
            return SourceBacklog(records: count, oldestMilliseconds: age, unwritten: unwritten[target].count)
        }
    }

    /// While everything works, whoever reads has everything within this; also when a watch has just followed another.
    private static let behindMilliseconds = KubernetesResultsReading.catchUpMilliseconds + 1_000

    private func unhanded(_ target: Int) -> (count: UInt64, oldest: Int64?) {
        var (count, oldest) = feed.backlog(of: target)
        if !feed.isInStep(target) {
            count = max(count, UInt64(remaining + (page.map { $0.batch.entries.count - $0.next } ?? 0)))
        }
        return (count, oldest)
    }

    /// Results in hand, and those that are known to wait.
    package func inputs(isFailing: Bool) -> SourceInputs {
        let hidden = max(refused.before, refused.now)
        let most = hands.targets.indices.map { unhanded($0).count }.max() ?? 0
        var inputs = SourceInputs(begun: hands.count, waiting: Int(clamping: most) + hidden)
        inputs.unread = hidden
        inputs.trouble = isFailing ? lastTrouble : refused.why
        return inputs
    }

    /// Of how many results something is kept, by what it is kept for: whoever measures memory compares it with its bounds.
    package struct Kept: Sendable, Equatable {
        /// Not settled where they were handed.
        package var inHand = 0
        /// Patched of late.
        package var overlaid = 0
        /// Of which the writer knows where they are.
        package var held = 0
        /// Delivered of late.
        package var remembered = 0
        /// Looked for, since they were delivered after all.
        package var strangers = 0
        /// Whose status is not taken.
        package var aside = 0
        /// Looked for, since somebody tells of them.
        package var sought = 0

        /// Nothing.
        package init() {}

        /// The higher of both, for each.
        package func highest(_ other: Kept) -> Kept {
            var all = self
            all.inHand = max(inHand, other.inHand)
            all.overlaid = max(overlaid, other.overlaid)
            all.held = max(held, other.held)
            all.remembered = max(remembered, other.remembered)
            all.strangers = max(strangers, other.strangers)
            all.aside = max(aside, other.aside)
            all.sought = max(sought, other.sought)
            return all
        }
    }

    /// What is kept now.
    package var kept: Kept {
        var kept = Kept()
        (kept.inHand, kept.overlaid) = (feed.inHandCount, feed.overlaidCount)
        kept.sought = soughtCount
        hands.state.withLock { state in
            (kept.held, kept.strangers, kept.aside) = (state.hands.count, state.strangers.count, state.detour.count)
            kept.remembered = state.recent.count + state.former.count
        }
        return kept
    }

    // MARK: How far it is

    /// The watch tells things in the order in which they happened.
    mutating func passed(_ entry: ObjectEntry, _ turn: Turn) {
        if entry.change == .added, entry.createdMilliseconds > 0 {
            let age = UInt64(max(0, turn.wall - entry.createdMilliseconds))
            shown.until = max(shown.until, turn.now.subtracting(milliseconds: age))
        } else if entry.state == .exported || entry.change == .deleted, let at = hands.exportedAt(entry.key) {
            shown.until = max(shown.until, at)
        }
    }

    mutating func watchStands(_ now: Tick) {
        for target in behindSince.indices {
            if feed.isInStep(target) {
                behindSince[target] = nil
            } else if behindSince[target] == nil {
                // What the watch had shown by then it was handed.
                behindSince[target] = min(now, shown.until)
            }
        }
    }

    /// Who follows the watch has been shown everything that was there a moment ago.
    mutating func tellPassed(_ turn: inout Turn) {
        for target in passedAt.indices where feed.isInStep(target) {
            if let at = passedAt[target], turn.now.milliseconds(since: at) < Self.passedMilliseconds { continue }
            passedAt[target] = turn.now
            turn.events.append(.passed(target: target))
        }
    }

    /// How far the watch is. That nothing is there at a look does not mean that nothing comes a moment later.
    mutating func watched(_ turn: Turn, _ standing: ObjectFeed.Standing) {
        if standing.failingSince != nil || !standing.isWatching { shown.shut = turn.now }
        if !turn.isDrained { shown.busy = turn.now }
        // One that is open again has to catch up first.
        let isNew = shown.shut.map { turn.now.milliseconds(since: $0) < Self.catchUpMilliseconds } ?? false
        guard !isNew, turn.now.milliseconds(since: shown.busy) >= Self.quietMilliseconds else { return }
        shown.until = turn.now
    }
}
