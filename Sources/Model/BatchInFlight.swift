/// What a receiver hands out for a batch it took but has not made durable yet: Splunk's indexer acknowledgement.
public struct Receipt: Sendable, Hashable {
    /// The channel that the number counts in, a GUID of ours.
    public var channel: String
    /// The receiver's number, `ackId`; not negative.
    public var id: Int64

    /// Number `id` of `channel`.
    public init(channel: String, id: Int64) {
        self.channel = channel
        self.id = id
    }
}

/// A batch that left for a target and is not settled yet: what must outlive the process to form the same batch again,
/// or to ask what became of it.
public struct BatchInFlight: Sendable, Equatable {
    /// A stretch of one input.
    public struct Stretch: Sendable, Equatable {
        /// The ledger's number of the input.
        public var source: Int64
        /// Bytes of the input.
        public var range: Range<UInt64>

        /// Bytes `range` of input `source`.
        public init(source: Int64, range: Range<UInt64>) {
            self.source = source
            self.range = range
        }
    }

    /// Where its records lie, in the order of the batch.
    public var stretches: [Stretch]
    /// What to ask for it by; nil if the receiver recognises a batch by its content.
    public var receipt: Receipt?
    /// Unix milliseconds when it left, or when the receipt came.
    public var sentAt: Int64

    /// All three.
    public init(stretches: [Stretch], receipt: Receipt?, sentAt: Int64) {
        self.stretches = stretches
        self.receipt = receipt
        self.sentAt = sentAt
    }
}
