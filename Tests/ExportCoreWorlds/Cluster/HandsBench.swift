import ExportCore
import Model
import Protocol

/// A leader's `Dispatch` and some workers' `WorkerHands`, with channels between them that keep order and may break,
/// lanes that deliver, fail or wait, and a model of what is true.
struct HandsBench {
    struct WorkerSide {
        var hands: WorkerHands
        var isOpen = false
        /// To the worker, to the leader.
        var down: [Message] = []
        var up: [Message] = []
        /// What its ledger holds.
        var ledger: [WorkerHands.Row] = []
        var highest: UInt64 = 0
        /// Stretches that lanes carry, for each target.
        var carried: [[(range: Range<UInt64>, key: RecordKey)]]
        /// Rows that were handed to the ledger and did not return yet.
        var committing: [WorkerHands.Row] = []
    }

    let targetCount = 2
    let shardCount = 8
    let pageCount: Int
    var dispatch: Dispatch
    var workers: [WorkerSide]
    var rng: PRNG
    var owner: [Int?]
    var epochs: [UInt32]
    /// What the present sessions' workers were asked to give back.
    var revoking: Set<ShardGrant> = []
    var term: UInt64 = 1
    var sessionCount: UInt64 = 0
    /// Per target: the pages it has read.
    var cursors: [Int]
    /// What receivers have: target and key, with how often.
    var accepted: [[RecordKey: Int]]
    /// What workers' ledgers ever held as given up.
    var buried: [Set<RecordKey>]
    /// What the store holds.
    var stored: [[RecordKey: Outcomes.Kind]]
    var finished: Set<UInt64> = []
    var unwritten: [Dispatch.Effect] = []
    var violations: [String] = []

    init(seed: UInt64, workers count: Int = 3, pages: Int = 12) {
        rng = PRNG(seed: seed)
        pageCount = pages
        dispatch = Dispatch(
            term: 1, shardCount: 8, targetCount: 2, index: SettledIndex(targetCount: 2), bounds: Self.bounds)
        workers = (0..<count).map { _ in
            WorkerSide(
                hands: WorkerHands(targetCount: 2, windowBytes: 600, rows: [], nextRow: 1),
                carried: Array(repeating: [], count: 2))
        }
        owner = Array(repeating: nil, count: 8)
        epochs = Array(repeating: 0, count: 8)
        cursors = [0, 0]
        accepted = [[:], [:]]
        buried = [[], []]
        stored = [[:], [:]]
    }

    static var bounds: Dispatch.Bounds {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = 2_000
        bounds.frameBytes = 300
        bounds.frameRecords = 5
        return bounds
    }

    /// Page `number`: the same whoever asks. Three pages are a source; lines of 40 bytes, some blank, one long.
    func page(_ number: Int, for mask: TargetMask) -> FeedPage {
        let source = UInt64(number / 3)
        var bytes = ByteWriter()
        let start = UInt64(number % 3) * 1_000
        var lines: [(UInt64, UInt32, UInt32)] = []
        for line in 0..<12 {
            let begin = UInt32(bytes.count)
            let length = line == 5 ? 0 : 30 + line
            for _ in 0..<length { bytes.append(UInt8(ascii: "x")) }
            bytes.append(0x0A)
            if length > 0 { lines.append((start + UInt64(begin), begin, UInt32(length + 1))) }
        }
        let end = start + UInt64(bytes.count)
        var page = FeedPage(
            targets: mask, source: source, range: start..<(number % 3 == 2 ? end : start + 1_000),
            sourceSize: 2_000 + end - start, ageMilliseconds: 0, bytes: bytes.seal())
        for (position, begin, length) in lines {
            page.append(position: position, shard: UInt16((position / 7 + source) % 8), start: begin, length: length)
        }
        return page
    }

    var allKeys: [RecordKey] {
        (0..<pageCount).flatMap { number in
            let page = page(number, for: TargetMask(first: 2))
            return page.records.map { RecordKey(high: page.source, low: $0.position) }
        }
    }

    mutating func violate(_ text: String) { if violations.count < 5 { violations.append(text) } }
}

extension WorkerID {
    /// Its place in the bench.
    var index: Int { Int(number) }
}
