/// The pages in hand, by number and in the order in which they were read.
///
/// A page may stay for hours, for a target that takes nothing, while those after it come and go. So what is gone takes no
/// room, wherever it stood: at most as many places are empty as are in use.
struct PageWindow: Sendable {
    private var ids: [UInt64] = []
    private var pages: [WindowPage?] = []
    private var gone = 0
    private var next: UInt64 = 0

    /// Places, empty ones included.
    var indices: Range<Int> { pages.indices }

    /// The page at a place; nil if it is gone, or lent out.
    subscript(place: Int) -> WindowPage? {
        _read { yield pages[place] }
        _modify { yield &pages[place] }
    }

    /// The number of the page at a place.
    func id(at place: Int) -> UInt64 { ids[place] }

    /// Where a page is; nil if it is gone for good. Until the next page goes.
    func place(of id: UInt64) -> Int? {
        guard let first = ids.first, id >= first else { return nil }
        // Mostly all numbers since the first are there.
        let guess = Int(clamping: id - first)
        if guess < ids.count, ids[guess] == id { return guess }
        var (low, high) = (0, min(guess, ids.count))
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < ids.count && ids[low] == id ? low : nil
    }

    /// Takes a page in, behind all others.
    mutating func append(_ page: WindowPage) -> UInt64 {
        defer { next += 1 }
        ids.append(next)
        pages.append(page)
        return next
    }

    /// Lets a page go.
    mutating func remove(at place: Int) {
        pages[place] = nil
        gone += 1
        guard gone * 2 > pages.count else { return }
        ids = pages.indices.filter { pages[$0] != nil }.map { ids[$0] }
        pages.removeAll { $0 == nil }
        gone = 0
    }

    /// What is in hand.
    var all: some Sequence<WindowPage> { pages.lazy.compactMap { $0 } }
}
