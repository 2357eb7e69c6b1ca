public import Protocol

/// Which results go to which targets, of those that an API server shows in lists, in a watch, and after our own patches.
///
/// The API server is the queue: nothing is kept here of results that are not in hand. A target that has no room when
/// something is to be handed to it *lags*; it is given a pass of its own later: everything that is not exported is listed again,
/// and what its annotation calls settled is passed over. Meanwhile the watch goes on for the others.
///
/// Promises:
/// 1. A target that ``isInStep(_:)`` was handed every result that there is and that is not settled for it.
/// 2. What was handed to a target is not handed to it again before it is settled there (``settled(_:at:)``).
/// 3. A view from before one of our own patches counts with that patch laid over it, as long as ``overlayCount`` later
///    patches have not pushed it out: then a result may go out twice, and none is lost.
/// 4. A target without room delays no other; memory is what is in hand and the overlay (invariants 7 and 8).
public struct ResultFeed: Sendable {
    /// A result as the API server shows it.
    public struct Sight: Sendable, Equatable {
        /// Its uid.
        public var key: RecordKey
        /// `spec.audit.exportStatus` is `Exported`.
        public var isExported: Bool
        /// Targets that its annotation calls settled.
        public var settled: TargetMask
        /// Its status is what follows from its annotation for the targets of today.
        public var isConsistent: Bool
        /// When it was made, milliseconds since 1970.
        public var createdAt: Int64
        /// It is not a change of one that was shown before.
        public var isNew: Bool
        /// Targets at which something became of it of which it does not tell: to hand it to them takes no room.
        public var known = TargetMask(bits: 0)
        /// Those of them at which it is settled as given up, and was delivered since: it is handed to them once more, to no effect
        /// but that this is written.
        public var revived = TargetMask(bits: 0)

        /// A view of one result.
        public init(
            key: RecordKey, isExported: Bool, settled: TargetMask, isConsistent: Bool = true, createdAt: Int64,
            isNew: Bool = true
        ) {
            self.key = key
            self.isExported = isExported
            self.settled = settled
            self.isConsistent = isConsistent
            self.createdAt = createdAt
            self.isNew = isNew
        }
    }

    /// What is to be done about a result that was seen.
    public enum Verdict: Sendable, Equatable {
        /// Nothing.
        case skip
        /// It goes to these targets; at those others it is settled already.
        case hand(TargetMask, settled: TargetMask)
        /// It is settled everywhere and its status does not say so: the status is written anew.
        case complete
        /// It is looked at again when there is room: nobody who is listing has any.
        case wait
    }

    /// What is to be looked at next.
    public enum Step: Sendable, Equatable {
        /// A new list, from the beginning. A watch that is under way goes on beside it.
        case begin
        /// The list that is under way, and the watch if there is one.
        case goOn
        /// The watch alone.
        case follow
        /// Nothing: no target could take anything. A watch may be ended.
        case rest
    }

    private enum Stand: Sendable, Equatable {
        /// Something was not handed to it.
        case lagging
        /// The list that is under way is for it. `isWhole`: it was handed everything so far.
        case passing(isWhole: Bool)
        /// It was handed everything, and follows the watch.
        case inStep
    }

    /// What was seen and not handed over.
    private struct Missed: Sendable {
        var count: UInt64 = 0
        var oldest: Int64?
    }

    /// Patches of ours that are laid over older views at the least.
    public static let overlayCount = 1 << 16

    private let targets: TargetMask
    private var stands: [Stand]
    private var missed: [Missed]
    private var isListing = false
    private var isSearching = false
    /// For each result in hand, the targets at which it is not settled.
    private var inHand: [RecordKey: TargetMask] = [:]
    /// Settled by patches of ours, lately and before that.
    private var overlay: [RecordKey: TargetMask] = [:]
    private var formerOverlay: [RecordKey: TargetMask] = [:]

    /// For a leader that has seen nothing yet.
    public init(targetCount: Int) {
        targets = TargetMask(first: targetCount)
        stands = Array(repeating: .lagging, count: targetCount)
        missed = Array(repeating: Missed(), count: targetCount)
    }

    /// Results in hand.
    public var inHandCount: Int { inHand.count }

    /// Results of which patches of ours are remembered.
    public var overlaidCount: Int { overlay.count + formerOverlay.count }

    /// Targets that were handed everything so far: one of them that has no room for a moment is worth a moment's wait, or
    /// everything is listed once more for it alone.
    public var patient: TargetMask {
        var mask = TargetMask(bits: 0)
        for (target, stand) in stands.enumerated() where stand == .inStep || stand == .passing(isWhole: true) {
            mask.bits |= 1 << UInt32(target)
        }
        return mask
    }

    /// Targets to which something of the list may be handed, and of the watch.
    public var listeners: (list: TargetMask, watch: TargetMask) {
        var (list, watch) = (TargetMask(bits: 0), TargetMask(bits: 0))
        for (target, stand) in stands.enumerated() where stand != .lagging {
            watch.bits |= 1 << UInt32(target)
            if stand != .inStep { list.bits |= 1 << UInt32(target) }
        }
        return (list, watch)
    }

    /// Whether a target was handed everything that there is.
    public func isInStep(_ target: Int) -> Bool { stands[target] == .inStep }

    /// How many results are known not to have been handed to a target, and when the oldest of them was made; at least one
    /// as long as it is not in step.
    public func backlog(of target: Int) -> (count: UInt64, oldest: Int64?) {
        if isInStep(target) { return (0, nil) }
        return (max(1, missed[target].count), missed[target].oldest)
    }

    // MARK: Lists and watches

    /// What is to be looked at next, for targets with room.
    ///
    /// - Parameter mayTurn: a list that nobody takes anything of has stood still for a while: if others have room for one, it
    ///   begins anew, for them.
    public mutating func next(hasRoom: TargetMask, mayTurn: Bool = false) -> Step {
        let ready = stands.indices.filter { stands[$0] == .lagging && hasRoom.contains($0) }
        if isListing {
            guard mayTurn, !ready.isEmpty, listeners.list.bits & hasRoom.bits == 0 else { return .goOn }
            listLost()
        }
        guard ready.isEmpty, !isSearching else {
            for target in ready { stands[target] = .passing(isWhole: true) }
            // The list shows again what was missed until now.
            for target in stands.indices where stands[target] != .inStep { missed[target].count = 0 }
            isListing = true
            isSearching = false
            return .begin
        }
        return stands.contains(.inStep) ? .follow : .rest
    }

    /// Everything is to be listed once more, though nobody lags: the caller looks for something. A list that is under way is
    /// given up; those that it is for get another one.
    public mutating func search() {
        if isListing { listLost() }
        isSearching = true
    }

    /// The list that was under way is at its end, and whoever got all of it is in step. A watch is to follow from the
    /// list's version, unless one is under way.
    public mutating func listed() {
        isListing = false
        for target in stands.indices {
            guard case .passing(let isWhole) = stands[target] else { continue }
            stands[target] = isWhole ? .inStep : .lagging
            if isWhole { missed[target] = Missed() }
        }
    }

    /// The list that was under way cannot be ended: its snapshot is gone, or a request failed for good.
    public mutating func listLost() {
        isListing = false
        for target in stands.indices {
            if case .passing = stands[target] { stands[target] = .lagging }
        }
    }

    /// The watch cannot be taken up where it ended (410 Gone): what happened since was seen by nobody. A list that is under
    /// way is not touched: the next watch follows from its version.
    public mutating func watchLost() {
        for target in stands.indices where stands[target] == .inStep { stands[target] = .lagging }
    }

    // MARK: Results

    /// A result was seen in the list.
    public mutating func list(_ sight: Sight, hasRoom: TargetMask) -> Verdict {
        look(at: sight, hasRoom: hasRoom, isListed: true)
    }

    /// The watch says that a result is there, or how it is now.
    public mutating func watch(_ sight: Sight, hasRoom: TargetMask) -> Verdict {
        look(at: sight, hasRoom: hasRoom, isListed: false)
    }

    private mutating func look(at sight: Sight, hasRoom: TargetMask, isListed: Bool) -> Verdict {
        guard !sight.isExported else { return .skip }
        let patched = TargetMask(
            bits: (overlay[sight.key]?.bits ?? 0) | (formerOverlay[sight.key]?.bits ?? 0))
        let settled = TargetMask(bits: (sight.settled.bits | patched.bits) & targets.bits)
        let held = inHand[sight.key] ?? TargetMask(bits: 0)
        let revived = targets.bits & sight.revived.bits & ~held.bits
        let open = targets.bits & ~settled.bits & ~held.bits | revived
        guard open != 0 else {
            // What our own patch has written is not written again for a view from before it.
            return held.isEmpty && patched.isEmpty && !sight.isConsistent ? .complete : .skip
        }
        let known = TargetMask(bits: open & sight.known.bits | revived)
        var wanted = TargetMask(bits: 0)
        for target in stands.indices where open & ~known.bits & (1 << UInt32(target)) != 0 {
            switch stands[target] {
            case .passing: wanted.bits |= 1 << UInt32(target)
            case .inStep where !isListed: wanted.bits |= 1 << UInt32(target)
            // The watch will show it, or has.
            case .inStep: break
            case .lagging: miss(sight, target)
            }
        }
        let handed = TargetMask(bits: wanted.bits & hasRoom.bits | known.bits)
        // Somebody else who is listing may have room, and want what comes after it.
        if isListed, !wanted.isEmpty, listeners.list.bits & hasRoom.bits == 0 { return .wait }
        for target in stands.indices where wanted.contains(target) && !handed.contains(target) {
            stands[target] = stands[target] == .inStep ? .lagging : .passing(isWhole: false)
            miss(sight, target)
        }
        guard !handed.isEmpty else { return .skip }
        inHand[sight.key] = TargetMask(bits: held.bits | handed.bits)
        return .hand(handed, settled: settled)
    }

    private mutating func miss(_ sight: Sight, _ target: Int) {
        missed[target].count += sight.isNew ? 1 : 0
        guard sight.createdAt > 0 else { return }
        missed[target].oldest = min(missed[target].oldest ?? sight.createdAt, sight.createdAt)
    }

    /// A patch of ours is written, or the result is gone: it is settled at these targets.
    public mutating func settled(_ key: RecordKey, at targets: TargetMask) {
        if overlay.count >= Self.overlayCount, overlay[key] == nil {
            formerOverlay = overlay
            overlay = [:]
        }
        overlay[key, default: TargetMask(bits: 0)].bits |= targets.bits
        guard let held = inHand[key] else { return }
        let left = held.bits & ~targets.bits
        inHand[key] = left == 0 ? nil : TargetMask(bits: left)
    }
}
