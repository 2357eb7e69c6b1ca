/// Settled sources whose files are gone, the last so many of them: a file system may only have been unmounted, and what comes back
/// with it must not be delivered again.
struct DepartedSources {
    private let most: Int
    /// When each went.
    private var places: [UInt64: UInt64] = [:]
    /// In that order. Some have come back since, or gone again.
    private var order: [(source: UInt64, place: UInt64)] = []
    private var head = 0
    private var lastPlace: UInt64 = 0

    init(most: Int) { self.most = most }

    var count: Int { places.count }

    /// The file of `source` is gone. What is to be forgotten in its place, if there are too many by now.
    mutating func add(_ source: UInt64) -> UInt64? {
        lastPlace += 1
        places[source] = lastPlace
        order.append((source, lastPlace))
        if order.count > 4 * most {
            order = order[head...].filter { places[$0.source] == $0.place }
            head = 0
        }
        guard places.count > most else { return nil }
        while true {
            let oldest = order[head]
            head += 1
            guard places[oldest.source] == oldest.place else { continue }
            places[oldest.source] = nil
            return oldest.source
        }
    }

    /// A file of this content is there again; whether it was one of these.
    mutating func remove(_ source: UInt64) -> Bool { places.removeValue(forKey: source) != nil }
}
