public import Formats
import Model

/// What a piece of a watch's body held.
public struct WatchPiece: Sendable {
    /// The objects that came into being, were changed or are gone, in order.
    public var batch: ObjectBatch
    /// The resource version up to which everything is in what was handed over until now; nil if this piece says nothing new.
    public var resourceVersion: String?
    /// Whether the server only said how far it is.
    public var isOnlyBookmark: Bool
    /// The server's `ERROR` event, after which it ends the watch.
    public var status: APIStatus?
}

/// Cuts the body of a watch, in whatever pieces it comes, into its events (Kubernetes API concepts, "Efficient detection of
/// changes"): one JSON object behind the other.
///
/// Promises:
/// 1. The same events come out wherever the body was cut.
/// 2. Of an event that is not complete at most ``maxEventBytes`` are kept. A longer one is passed over up to its end, and told
///    of as refused: nothing behind it is lost.
/// 3. Text that cannot be a watch's is a fault, and then nothing more is read.
public struct WatchReader: Sendable {
    /// Longest accepted event, bytes; its object's bookkeeping counts here.
    public static let maxEventBytes = 8 << 20

    private var buffer: [UInt8] = []
    private var cut = EventCut()
    /// Bytes of a too long event that were thrown away; zero if none is being passed over.
    private var passedOver = 0

    /// At the beginning of a body.
    public init() {}

    /// Whether the body may end here.
    public var isBetweenEvents: Bool { cut.depth == 0 }

    /// Takes in what came; nil if no event is complete.
    public mutating func feed(_ piece: [UInt8]) throws(APIObjectFault) -> WatchPiece? {
        buffer.append(contentsOf: piece)
        var cut = cut
        var next = try cut.endOfEvent(buffer.span)
        // Of a long event, most pieces only make it longer.
        var cutter = ObjectCutter(capacity: next == nil ? 0 : buffer.count + 1)
        var result = Reading()
        var start = 0
        while let end = next {
            if passedOver > 0 {
                cutter.refuse("an event of \(passedOver + end - start) bytes; at most \(Self.maxEventBytes) are read")
                passedOver = 0
            } else if result.status == nil {
                try result.take(buffer.span, start..<end, &cutter)
            }
            result.count += 1
            start = end
            next = try cut.endOfEvent(buffer.span)
        }
        buffer.removeSubrange(..<start)
        cut.at -= start
        if buffer.count > Self.maxEventBytes || passedOver > 0 {
            passedOver += buffer.count
            buffer.removeAll()
            cut.at = 0
        }
        self.cut = cut
        guard result.count > 0 else { return nil }
        let batch = cutter.finish()
        return WatchPiece(
            batch: batch, resourceVersion: result.version,
            isOnlyBookmark: batch.entries.isEmpty && batch.refused == 0 && result.status == nil, status: result.status)
    }

    /// What the events of one piece say together.
    private struct Reading {
        var count = 0
        var version: String?
        var status: APIStatus?

        mutating func take(
            _ bytes: Span<UInt8>, _ range: Range<Int>, _ cutter: inout ObjectCutter
        ) throws(APIObjectFault) {
            let (type, object) = try APIObjectScan.event(bytes, range)
            func isType(_ text: StaticString) -> Bool { JSONAnswer.isSpelt(type, text, bytes) }
            if isType("ERROR") {
                status = APIStatus(bytes, object.whole)
                return
            }
            if isType("ADDED") {
                cutter.add(object, bytes, .added)
            } else if isType("MODIFIED") {
                cutter.add(object, bytes, .modified)
            } else if isType("DELETED") {
                cutter.add(object, bytes, .deleted)
            } else if !isType("BOOKMARK") {
                // A kind of a later server: what it means is unknown, how far the server is it says all the same.
                cutter.refuse("an event of a kind that is unknown here")
            }
            if ObjectName.isVersion(object.resourceVersion, bytes) {
                version = JSONAnswer.text(object.resourceVersion, bytes)
            }
        }
    }
}

/// Finds where events end, without looking into them.
private struct EventCut: Sendable {
    /// How much was looked at.
    var at = 0
    private(set) var depth = 0
    private var isInString = false
    private var isEscaped = false

    /// Moves on to behind the next event; nil if it is not complete.
    mutating func endOfEvent(_ bytes: Span<UInt8>) throws(APIObjectFault) -> Int? {
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == 0x5C {
                    isEscaped = true
                } else if byte == 0x22 {
                    isInString = false
                }
                continue
            }
            switch byte {
            case 0x7B, 0x5B: depth += 1
            case 0x7D, 0x5D:
                depth -= 1
                guard depth >= 0 else { throw APIObjectFault("a bracket closes what none has opened") }
                if depth == 0 { return at }
            case 0x22 where depth > 0: isInString = true
            case 0x20, 0x09, 0x0A, 0x0D: break
            default:
                guard depth > 0 else {
                    throw APIObjectFault("between two events stands something that begins no object")
                }
            }
        }
        return nil
    }
}
