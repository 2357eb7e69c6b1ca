import Glibc
import Model
import Threading

/// The names in a directory of results, and what is known of each.
///
/// A look at the directory costs one pass over its names; files are looked at only when they are new, and then again,
/// some at a time, after the directory changed. A name that stands for another file is noticed at once by its inode, a
/// file that was changed where it lies with one of the next looks.
struct ResultNames {
    /// A file that was looked at.
    struct Known {
        /// The inode as the directory has it.
        var entry: UInt64
        var stamp: ResultStamp
        /// Zero if there is nothing in it.
        var source: UInt64
        /// The last listing that had it.
        fileprivate var listing: UInt32
    }

    /// Something that has a name of ours and cannot be read.
    struct Unread {
        /// As far as it is known, bytes.
        var size: UInt64
        /// Since when there is something to read: when it was written or else first seen, milliseconds since 1970.
        var since: Int64
        /// What hinders, and what to do.
        var reason: String
        fileprivate var entry: DirectoryListing.Entry
    }

    /// What a look brought.
    struct News {
        /// Names to look at, in their order.
        var fresh: [DirectoryListing.Entry] = []
        /// Sources whose name is gone, with the name.
        var gone: [(name: String, source: UInt64)] = []
    }

    let path: String
    private(set) var known: [String: Known] = [:]
    private(set) var unread: [String: Unread] = [:]
    private var listing: UInt32 = 0
    private var listed: DirectoryStamp?
    private var listedAt: Tick?
    private var cost: UInt64 = 0
    private var triedAt = Tick(nanoseconds: 0)
    /// Names in turn, the place of the next, and how many are due.
    private var round: [String] = []
    private var place = 0
    private var due = 0

    /// Names that are looked at again in one look.
    static let slice = 1_024
    /// A listing takes no more than a tenth of the time, but comes at least this often, milliseconds.
    private static let maxPause: UInt64 = 5_000
    /// How often what cannot be read is tried again, milliseconds.
    private static let retryMilliseconds: UInt64 = 1_000

    init(_ path: String) { self.path = path }

    /// Names to look at: those that are new or stand for another file, or that cannot be read and are to be tried again.
    mutating func look(now: Tick) throws(StoreError) -> News {
        var news = News()
        let stamp = DirectoryStamp(path)
        let pause = min(Self.maxPause, 10 * cost)
        let isDue = listedAt.map { now >= $0.adding(milliseconds: pause) } ?? true
        // The time of a change is coarse: what comes in the same instant as a listing would not be noticed.
        if stamp == nil || stamp != listed, isDue {
            let isSettled = stamp.map { SystemClock.unixMilliseconds() - $0.modified / 1_000_000 >= 1_000 } ?? false
            try list(&news)
            listed = isSettled ? stamp : nil
            listedAt = now
            cost = SystemClock.now().milliseconds(since: now)
        }
        retry(&news, now)
        checkSome(&news)
        return news
    }

    private mutating func list(_ news: inout News) throws(StoreError) {
        let entries = try StoreDirectory.entries(path) { $0.hasSuffix(".ndjson") && !$0.hasPrefix(".") }
        listing &+= 1
        var met = 0
        var hasNew = false
        for entry in entries {
            if entry.isText, let place = known.index(forKey: entry.name) {
                known.values[place].listing = listing
                met += 1
                if known.values[place].entry == entry.inode { continue }
            } else if unread[entry.name]?.entry == entry {
                continue
            }
            hasNew = true
            news.fresh.append(entry)
        }
        news.fresh.sort { $0.name < $1.name }
        if !unread.isEmpty {
            let all = Set(entries.map(\.name))
            unread = unread.filter { all.contains($0.key) }
        }
        if met < known.count {
            for (name, file) in known where file.listing != listing { news.gone.append((name, file.source)) }
            for (name, _) in news.gone { known[name] = nil }
        }
        if hasNew || !news.gone.isEmpty || round.count != known.count {
            round = Array(known.keys)
            place = 0
        }
        due = round.count
    }

    private mutating func retry(_ news: inout News, _ now: Tick) {
        guard !unread.isEmpty, now >= triedAt.adding(milliseconds: Self.retryMilliseconds) else { return }
        triedAt = now
        let names = Set(news.fresh.map(\.name))
        news.fresh += unread.values.map(\.entry).filter { !names.contains($0.name) }.sorted { $0.name < $1.name }
    }

    private mutating func checkSome(_ news: inout News) {
        let count = min(due, Self.slice)
        due -= count
        for _ in 0..<count {
            if place >= round.count { place = 0 }
            let name = round[place]
            place += 1
            guard let file = known[name], let stamp = ResultStamp(path: "\(path)/\(name)"), stamp != file.stamp
            else { continue }
            news.fresh.append(DirectoryListing.Entry(name: name, isText: true, inode: file.entry))
        }
    }

    // MARK: What looking brought

    /// A file could be looked at.
    mutating func add(_ entry: DirectoryListing.Entry, _ stamp: ResultStamp, source: UInt64) {
        unread[entry.name] = nil
        known[entry.name] = Known(entry: entry.inode, stamp: stamp, source: source, listing: listing)
    }

    /// It could not; whether that is news.
    mutating func addUnread(_ entry: DirectoryListing.Entry, _ stamp: ResultStamp?, _ reason: String) -> Bool {
        let before = unread[entry.name]
        unread[entry.name] = Unread(
            size: stamp?.size ?? 0,
            since: stamp.map { $0.modified / 1_000_000 } ?? before?.since ?? SystemClock.unixMilliseconds(),
            reason: reason, entry: entry)
        return before?.reason != reason
    }

    /// A name stands for nothing that is known any more.
    mutating func remove(_ name: String) {
        known[name] = nil
        unread[name] = nil
    }
}

/// When a directory changed.
struct DirectoryStamp: Equatable {
    var inode: UInt64
    /// Nanoseconds since 1970.
    var modified: Int64

    init?(_ path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        inode = UInt64(status.st_ino)
        modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }
}
