import Coordinator
import ExportCore
import KubernetesAPI
import Model
import Protocol

/// An API server with so many results that of each only five bytes are kept: what an object says is made when it is asked for.
/// Lists show those that are not exported; a watch shows changes in order, and of two of one object only the later.
final class ResultServer {
    static let targets = ["steady", "lame"]
    /// When all of them were made, milliseconds since 1970.
    static let made: Int64 = 1_795_737_600_000
    /// So many changes are remembered: who is further behind is told 410.
    private static let remembered: UInt64 = 1 << 17
    private static let added: UInt32 = 1 << 31

    /// What becomes of the next request for a page that is not the first.
    enum Fault { case none, gone, goneWithToken }

    let most: Int
    /// Results that are there.
    private(set) var count = 0
    private(set) var revision: UInt64 = 0
    var pageFault = Fault.none
    /// The next look at a watch is told 410.
    var forgetsWatch = false
    /// Of these it takes no patch; 0: of any.
    var refusesEvery: Int
    /// Requests for pages, patches that were taken, and what else came.
    private(set) var counts = (pages: 0, patches: 0, conflicts: 0, refusals: 0, gone: 0)
    private(set) var exported = 0
    private var states: [UInt8]
    private var revisions: [UInt32]
    private var changes: [UInt32]
    /// For each state, what follows behind the fields of one object alone.
    private let tails: [[UInt8]]

    /// - Parameters:
    ///   - most: results that there will be.
    ///   - padding: bytes of each besides what is looked at.
    init(most: Int, padding: Int, refusesEvery: Int) {
        self.most = most
        self.refusesEvery = refusesEvery
        states = Array(repeating: 0, count: most)
        revisions = Array(repeating: 0, count: most)
        changes = Array(repeating: 0, count: Int(Self.remembered))
        tails = (UInt8.min...UInt8.max).map { Self.tail($0, padding) }
    }

    static func key(_ index: Int) -> RecordKey {
        RecordKey(high: UInt64(index) + 1, low: 1 << 63 | UInt64(index) + 1)
    }

    static func index(_ key: RecordKey) -> Int { Int(key.high) - 1 }

    // MARK: Objects

    /// Two bits each: delivered, dead, failed, and the state.
    private static func status(_ bits: UInt8) -> ResultStatus {
        var status = ResultStatus(state: ResultStatus.State(rawValue: bits >> 6) ?? .pending)
        status.word.delivered.bits = UInt32(bits & 3)
        status.word.dead.bits = UInt32(bits >> 2 & 3)
        status.word.failed.bits = UInt32(bits >> 4 & 3)
        return status
    }

    private static func bits(_ status: ResultStatus) -> UInt8 {
        let word = status.word
        return UInt8(word.delivered.bits & 3 | word.dead.bits << 2 & 12 | word.failed.bits << 4 & 48) | status.state
            .rawValue << 6
    }

    private static func tail(_ bits: UInt8, _ padding: Int) -> [UInt8] {
        let seen = StatusRound.Seen(version: "", status: status(bits))
        let marks = KubernetesStatusText.marks(seen, targets: targets).replacing("\"", with: "\\\"")
        let state = seen.status.state == .pending ? "Pending" : seen.status.state == .failed ? "Failed" : "Exported"
        // Whose marks they are is said by what comes before: it differs for each object.
        let note = marks == "{}" ? "" : #","\#(KubernetesStatusText.annotation)":"\#(marks)""#
        let detail = String(repeating: "d", count: padding)
        return Array(#"\#(note)}},"spec":{"audit":{"exportStatus":"\#(state)"},"detail":"\#(detail)"}}"#.utf8)
    }

    private func isExported(_ index: Int) -> Bool { states[index] >> 6 == ResultStatus.State.exported.rawValue }

    private static func uid(_ key: RecordKey, into out: inout ByteWriter) {
        for (half, dashes) in [(key.high, [8, 12]), (key.low, [0, 4])] {
            for digit in 0..<16 {
                if dashes.contains(digit) { out.append(0x2D) }
                let value = UInt8(half >> UInt64(60 - 4 * digit) & 15)
                out.append(value < 10 ? 0x30 + value : 0x57 + value)
            }
        }
    }

    private func text(_ index: Int, into out: inout ByteWriter) {
        let key = Self.key(index)
        out.append(#"{"metadata":{"name":"r-"#)
        out.append(decimal: UInt64(index))
        out.append(#"","namespace":"probes","uid":""#)
        Self.uid(key, into: &out)
        out.append(#"","resourceVersion":""#)
        out.append(decimal: UInt64(revisions[index]))
        out.append(#"","creationTimestamp":"2026-11-27T00:00:00Z","annotations":{""#)
        out.append(string: KubernetesStatusText.owner)
        out.append(#"":""#)
        Self.uid(key, into: &out)
        out.append(0x22)
        let tail = tails[Int(states[index])]
        out.append(tail.span)
    }

    private func note(_ index: Int, _ flag: UInt32 = 0) {
        revision += 1
        revisions[index] = UInt32(revision)
        changes[Int(revision % Self.remembered)] = UInt32(index) | flag
    }

    /// Some more results come.
    func make(_ more: Int) {
        for _ in 0..<min(more, most - count) {
            count += 1
            note(count - 1, Self.added)
        }
    }

    /// Somebody else changes something about one that is none of ours.
    func touch(_ index: Int) { note(index) }

    /// Results that are called dead at a target.
    func dead(at target: Int) -> [Int] { (0..<count).filter { states[$0] >> UInt8(2 + target) & 1 == 1 } }

    func look(at key: RecordKey) -> StatusRound.Seen {
        let index = Self.index(key)
        return StatusRound.Seen(version: "\(revisions[index])", status: Self.status(states[index]))
    }

    func patch(_ key: RecordKey, to seen: StatusRound.Seen) -> StatusRound.Answer {
        let index = Self.index(key)
        if refusesEvery > 0, index % refusesEvery == 0 {
            counts.refusals += 1
            return .refused
        }
        guard seen.version == "\(revisions[index])" else {
            counts.conflicts += 1
            return .conflict
        }
        counts.patches += 1
        if seen.status.state == .exported, !isExported(index) { exported += 1 }
        states[index] = Self.bits(seen.status)
        note(index)
        return .written(version: seen.status.state == .exported ? nil : "\(revision)")
    }

    // MARK: What is asked

    /// One page of a list, as text; the token says where the list ends and where it goes on.
    func page(limit: Int, token: String?) -> Result<[UInt8], APIFailure> {
        counts.pages += 1
        if let token, pageFault != .none {
            defer { pageFault = .none }
            counts.gone += 1
            return .failure(
                APIFailure(.expired(continueToken: pageFault == .goneWithToken ? token : nil), "410 Gone"))
        }
        let parts = token?.split(separator: ".").compactMap { Int($0) } ?? []
        let end = parts.first ?? count
        var next = parts.last ?? 0
        var out = ByteWriter(capacity: limit * (300 + tails[0].count))
        out.append(#"{"kind":"List","items":["#)
        var left = limit
        while left > 0, next < end {
            if !isExported(next) {
                if left < limit { out.append(0x2C) }
                text(next, into: &out)
                left -= 1
            }
            next += 1
        }
        out.append(#"],"metadata":{"resourceVersion":""#)
        out.append(decimal: revision)
        out.append(0x22)
        if next < end {
            out.append(#","continue":""#)
            let token = Array("\(end).\(next)".utf8)
            out.append(token.span)
            out.append(0x22)
        }
        out.append("}}")
        return .success(out.seal().array)
    }

    /// What a watch shows behind `version`; empty: nothing. It ends with a bookmark.
    func piece(after version: inout UInt64) -> Result<[UInt8], APIFailure> {
        if forgetsWatch || version + Self.remembered <= revision {
            forgetsWatch = false
            counts.gone += 1
            return .failure(APIFailure(.expired(continueToken: nil), "410 Gone"))
        }
        var out = ByteWriter(capacity: 64 << 10)
        let end = min(revision, version + 500)
        guard version < end else { return .success([]) }
        while version < end {
            version += 1
            let change = changes[Int(version % Self.remembered)]
            let index = Int(change & ~Self.added)
            guard UInt64(revisions[index]) == version else { continue }
            if isExported(index) {
                out.append(#"{"type":"DELETED","object":"#)
            } else if change & Self.added != 0 {
                out.append(#"{"type":"ADDED","object":"#)
            } else {
                out.append(#"{"type":"MODIFIED","object":"#)
            }
            text(index, into: &out)
            out.append(0x7D)
        }
        out.append(#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":""#)
        out.append(decimal: version)
        out.append(#""}}}"#)
        return .success(out.seal().array)
    }
}
