import Model

extension Delivery {
    /// Records that belong in one request.
    struct Parcel {
        var items: [Range<Int>]
        /// Requests that carried them.
        var attempts = 0

        /// The records at these places of it.
        func part(_ places: Range<Int>) -> Parcel { Parcel(items: items.items(places), attempts: attempts) }
    }

    /// What is not settled yet of a batch, and where it stands.
    struct Batch {
        enum Phase: Equatable { case waiting(until: Tick), inFlight, committing, commitWaiting(until: Tick) }
        /// Requests still to be made, the next one first.
        var parcels: [Parcel]
        var phase: Phase
        var dead: [DeadItem] = []
        /// Failed attempts since the last progress.
        var failures = 0
        var firstAttempt: Tick?
        /// When its last request left.
        var sentAt = Tick(nanoseconds: 0)
        private let count: Int
        /// Records of the request under way that are carried no further unless its answer settles them.
        private var unwanted: [Range<Int>] = []
        /// Records of the request under way of which its answer settles nothing.
        private var abandoned: [Range<Int>] = []
        /// Withdrawn records of which nobody was told yet.
        private var dropped: [Range<Int>] = []
        /// Withdrawn records, ever.
        private var withdrawals = 0

        init(count: Int, now: Tick) {
            self.count = count
            parcels = [Parcel(items: [0..<count])]
            phase = .waiting(until: now)
        }

        /// All of it was withdrawn.
        var isWithdrawn: Bool { withdrawals == count }

        /// Drops records that wait, and marks those that are under way. False if it is past that.
        mutating func withdraw(_ items: [Range<Int>]) -> Bool {
            switch phase {
            case .waiting: drop(items, from: 0)
            case .inFlight:
                let asked = parcels[0].items.parted(by: items).inside
                unwanted += asked.parted(by: abandoned).outside.parted(by: unwanted).outside
                unwanted.sort { $0.lowerBound < $1.lowerBound }
                drop(items, from: 1)
            case .committing, .commitWaiting: return false
            }
            return true
        }

        /// Those of `items` that were to be waited for are not.
        mutating func abandonUnwanted(_ items: [Range<Int>]) {
            let (gone, left) = unwanted.parted(by: items)
            unwanted = left
            abandoned = (abandoned + gone).sorted { $0.lowerBound < $1.lowerBound }
            dropped += gone
            withdrawals += gone.itemCount
        }

        /// The request under way has ended: what was kept for its answer alone, and not settled by it, goes.
        mutating func letGo() {
            if !abandoned.isEmpty {
                for index in parcels.indices {
                    parcels[index].items = parcels[index].items.parted(by: abandoned).outside
                }
                parcels.removeAll { $0.items.isEmpty }
                dead.removeAll { buried in abandoned.contains { $0.contains(buried.item) } }
                abandoned = []
            }
            guard !unwanted.isEmpty else { return }
            drop(unwanted, from: 0)
            unwanted = []
        }

        /// What was withdrawn since this was last asked, ascending.
        mutating func takeDropped() -> [Range<Int>] {
            defer { dropped = [] }
            guard dropped.count > 1 else { return dropped }
            var merged: [Range<Int>] = []
            merged.appendMerging(dropped.sorted { $0.lowerBound < $1.lowerBound })
            return merged
        }

        private mutating func drop(_ items: [Range<Int>], from first: Int) {
            for index in parcels.indices.dropFirst(first) {
                let (gone, left) = parcels[index].items.parted(by: items)
                parcels[index].items = left
                dropped += gone
                withdrawals += gone.itemCount
            }
            parcels.removeAll { $0.items.isEmpty }
        }

        /// Undoes the departure of its next request, which did not leave.
        mutating func takeBack(until: Tick) {
            parcels[0].attempts -= 1
            // Whatever is left of a batch that was ever sent comes from its first request.
            if parcels[0].attempts == 0 { firstAttempt = nil }
            phase = .waiting(until: until)
        }

        mutating func prepend(_ parcel: Parcel) {
            if !parcel.items.isEmpty { parcels.insert(parcel, at: 0) }
        }

        mutating func bury(_ parcel: Parcel, _ reason: Reason, _ now: Tick) {
            for range in parcel.items {
                for item in range {
                    dead.append(
                        DeadItem(
                            item: item, reason: reason, attempts: parcel.attempts, firstAttempt: firstAttempt ?? now,
                            lastAttempt: now))
                }
            }
        }

        /// Everything that is left is dead.
        mutating func giveUp(_ reason: Reason, _ now: Tick) {
            for parcel in parcels { bury(parcel, reason, now) }
            parcels = []
        }

        /// Halves a request; a single record that cannot be halved is dead.
        mutating func split(_ parcel: Parcel, _ reason: Reason, _ now: Tick) {
            phase = .waiting(until: now)
            let count = parcel.items.itemCount
            guard count > 1 else { return bury(parcel, reason, now) }
            prepend(parcel.part(count / 2..<count))
            prepend(parcel.part(0..<count / 2))
        }
    }
}
