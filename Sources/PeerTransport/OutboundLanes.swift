internal import Protocol

/// Frames that wait to be sent over one connection, in two lanes.
///
/// 1. Frames of one lane leave in the order they came. An urgent one overtakes all others that have not begun, and none is
///    ever cut into by another.
/// 2. A frame counts until its last byte is taken.
struct OutboundLanes {
    /// Part of a frame.
    struct Piece {
        let frame: OutgoingFrame
        let range: Range<Int>
    }

    /// What a frame costs beside its bytes, so that many small ones are bounded as well.
    static let overhead = 64

    private var urgent = Lane()
    private var ordinary = Lane()
    private var current: OutgoingFrame?
    private var isCurrentUrgent = false
    private var position = 0

    private struct Lane {
        /// Those before the first one are gone: a frame that was taken must not keep its lines in memory.
        private var frames: [OutgoingFrame?] = []
        private var first = 0
        var bytes = 0

        var isEmpty: Bool { first == frames.count }

        mutating func append(_ frame: OutgoingFrame) {
            frames.append(frame)
            bytes += frame.count + OutboundLanes.overhead
        }

        mutating func pop() -> OutgoingFrame? {
            guard first < frames.count else { return nil }
            let frame = frames[first].take()
            first += 1
            if first > 64, first * 2 > frames.count {
                frames.removeFirst(first)
                first = 0
            }
            return frame
        }
    }

    /// Nothing waits.
    var isEmpty: Bool { current == nil && urgent.isEmpty && ordinary.isEmpty }
    /// Of the ordinary lane, the frame that has begun included.
    var queuedBytes: Int { ordinary.bytes }
    /// Of the urgent lane.
    var urgentBytes: Int { urgent.bytes }

    /// Adds a frame at the end of its lane.
    mutating func append(_ frame: OutgoingFrame, isUrgent: Bool) {
        if isUrgent { urgent.append(frame) } else { ordinary.append(frame) }
    }

    /// Whether an ordinary frame of `count` bytes fits below `limit`; a single one always does.
    func hasRoom(_ count: Int, limit: Int) -> Bool {
        ordinary.bytes == 0 || ordinary.bytes + count + Self.overhead <= limit
    }

    /// Takes what is next, at most `limit` bytes; from several frames if they are short.
    mutating func take(_ limit: Int) -> [Piece] {
        var pieces: [Piece] = []
        var rest = limit
        while rest > 0, let frame = current ?? begin() {
            let end = min(frame.count, position + rest)
            pieces.append(Piece(frame: frame, range: position..<end))
            rest -= end - position
            position = end
            if end == frame.count { finish(frame) }
        }
        return pieces
    }

    private mutating func begin() -> OutgoingFrame? {
        position = 0
        isCurrentUrgent = !urgent.isEmpty
        current = isCurrentUrgent ? urgent.pop() : ordinary.pop()
        return current
    }

    private mutating func finish(_ frame: OutgoingFrame) {
        let cost = frame.count + Self.overhead
        if isCurrentUrgent { urgent.bytes -= cost } else { ordinary.bytes -= cost }
        current = nil
    }
}
