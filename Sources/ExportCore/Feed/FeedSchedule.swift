/// Where a piece of the input begins: a file by its place in the list, and the start of a line in it.
///
/// Pieces end at fixed places, wherever they began, so cursors that were apart meet again.
public struct ChunkRef: Hashable, Sendable, Comparable {
    /// Place of the file in the input's list.
    public var file: Int
    /// Bytes from the start of the file.
    public var offset: UInt64

    /// The piece of file `file` that begins at `offset`.
    public init(file: Int, offset: UInt64) {
        self.file = file
        self.offset = offset
    }

    /// Orders as the input is read.
    public static func < (a: ChunkRef, b: ChunkRef) -> Bool { (a.file, a.offset) < (b.file, b.offset) }
}

/// Decides which piece of the input is read next, and for which targets.
///
/// Each target has a cursor of its own, so a slow one is read for later, again, instead of making the others wait or
/// its backlog pile up in memory. Targets whose cursors stand at the same piece share one reading of it.
///
/// Promises:
/// 1. Every target gets every piece once, in order.
/// 2. A target without room is never fed and delays one that has room only where the caller wants that.
/// 3. Targets with room take turns.
/// 4. Who is asked to wait waits only for targets at the same place, and never longer than the caller says.
public struct FeedSchedule: Sendable {
    private var cursors: [ChunkRef]
    /// When each target was last fed, as a count of readings.
    private var served: [Int]
    private var turn = 0

    /// - Parameter starts: where each target begins.
    public init(starts: [ChunkRef]) {
        cursors = starts
        served = Array(repeating: 0, count: starts.count)
    }

    /// Where a target stands.
    public func cursor(of target: Int) -> ChunkRef { cursors[target] }

    /// Whether somebody without room stands where somebody with room does: whoever goes on now leaves them behind, and
    /// they read for themselves until they meet again.
    public func isParting(hasRoom: [Bool], isAvailable: (ChunkRef) -> Bool) -> Bool {
        cursors.indices.contains {
            hasRoom[$0] && leavesBehind(cursors[$0], hasRoom) && isAvailable(cursors[$0])
        }
    }

    private func leavesBehind(_ ref: ChunkRef, _ hasRoom: [Bool]) -> Bool {
        cursors.indices.contains { !hasRoom[$0] && cursors[$0] == ref }
    }

    /// The next piece and the targets it is for. `hasRoom[t]`: target t can take a piece. `isAvailable`: the piece
    /// exists. Nil if nobody can be fed.
    ///
    /// - Parameter waits: nobody is fed who would leave somebody behind.
    public mutating func next(
        hasRoom: [Bool], waits: Bool = false, isAvailable: (ChunkRef) -> Bool
    ) -> (ref: ChunkRef, targets: [Int])? {
        var chosen: Int?
        for target in cursors.indices where hasRoom[target] && isAvailable(cursors[target]) {
            if let best = chosen, served[best] <= served[target] { continue }
            if waits, leavesBehind(cursors[target], hasRoom) { continue }
            chosen = target
        }
        guard let chosen else { return nil }
        let ref = cursors[chosen]
        let targets = cursors.indices.filter { hasRoom[$0] && cursors[$0] == ref }
        turn += 1
        for target in targets { served[target] = turn }
        return (ref, targets)
    }

    /// Moves the targets on, once the piece was taken.
    public mutating func advance(_ targets: [Int], to ref: ChunkRef) {
        for target in targets { cursors[target] = ref }
    }
}
