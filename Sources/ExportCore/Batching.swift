public import Model

/// Decides when an open batch closes: by count, by bytes, by age, or in a lull, whichever comes first.
public struct Batching: Sendable {
    /// A time in which nothing comes. Whoever sends may be waiting for the outcome of what it sent before it sends more;
    /// then a batch that waits for more waits in vain, until it is too old.
    public struct Lull: Sendable, Equatable {
        /// How long nothing came, milliseconds.
        public var milliseconds: UInt64
        /// A batch with fewer bytes is not worth a request of its own, and waits.
        public var minBytes: Int

        /// Both parts.
        public init(milliseconds: UInt64, minBytes: Int) {
            self.milliseconds = milliseconds
            self.minBytes = minBytes
        }
    }

    private let bounds: BatchBounds
    private let lull: Lull?
    /// Records in the open batch.
    public private(set) var records = 0
    /// Encoded bytes in the open batch.
    public private(set) var bytes = 0
    private var openedAt: Tick?
    private var addedAt: Tick?

    /// A policy with `bounds`.
    ///
    /// - Parameter lull: after which a batch is not kept open; nil: there is none, whoever sends never waits for us.
    public init(_ bounds: BatchBounds, lull: Lull? = nil) {
        self.bounds = bounds
        self.lull = lull
    }

    /// Counts a record of `size` encoded bytes. True if the batch must close now.
    public mutating func add(size: Int, now: Tick) -> Bool {
        if openedAt == nil { openedAt = now }
        addedAt = now
        records += 1
        bytes += size
        return records >= bounds.maxRecords || bytes >= bounds.maxBytes
    }

    /// Whether a record of `size` bytes would push a batch that is not empty over its bytes: close first.
    public func mustClose(before size: Int) -> Bool {
        records > 0 && bytes + size > bounds.maxBytes
    }

    /// When the open batch is not waited for any longer; nil while it is empty.
    public var dueAt: Tick? {
        let age = openedAt?.adding(milliseconds: bounds.maxAgeMilliseconds)
        guard let age, let lull, let addedAt, bytes >= lull.minBytes else { return age }
        return min(age, addedAt.adding(milliseconds: lull.milliseconds))
    }

    /// Starts a new batch.
    public mutating func reset() {
        records = 0
        bytes = 0
        openedAt = nil
        addedAt = nil
    }
}
