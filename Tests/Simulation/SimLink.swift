import Model
@_spi(NextRelease) import Protocol

/// A connection between a worker and a coordinator: frames in order each way, by the real codec, until it breaks.
///
/// What TCP and TLS make of a bad network is here too: loss is delay and in the end a break, with what was under way
/// gone; a direction that is cut off lets nothing through, not even the news of the end. Frames of connections that were
/// given up may still arrive.
final class SimLink {
    enum Parcel {
        case frame(SealedBytes)
        case end
    }

    final class End {
        var codec: FrameCodec
        var name = ""
        var isOpen = true
        /// Frames arrive no earlier than those before.
        var lastArrival: UInt64 = 0
        /// Under way to it.
        var coming: [Parcel] = []
        var receive: (Message) -> Void = { _ in }
        var closed: () -> Void = {}

        init(release: ProtocolRelease) { codec = FrameCodec(release: release) }
    }

    private let world: World
    /// Until when nothing arrives by it, while others do: what is under way comes after what a later one brought.
    var stalledUntil: UInt64 = 0
    let worker: End
    let coordinator: End

    init(world: World, worker: End, coordinator: End) {
        self.world = world
        self.worker = worker
        self.coordinator = coordinator
    }

    func send(_ message: Message, fromWorker: Bool) {
        let (from, to) = fromWorker ? (worker, coordinator) : (coordinator, worker)
        guard from.isOpen else { return }
        var frame = ByteWriter()
        do throws(ProtocolError) {
            try from.codec.encode(message, into: &frame)
        } catch {
            world.checks.violate("\(from.name) cannot write \(message.name): \(error)")
            return
        }
        let bytes = frame.seal()
        enqueue(.frame(bytes), from, to)
        // Some frames come twice: idempotence costs nothing here and saves a proof elsewhere.
        let isRepeatable: Bool
        switch message {
        case .records, .outcomes, .settled, .heartbeat, .released: isRepeatable = true
        default: isRepeatable = false
        }
        if isRepeatable, world.chance(2) { enqueue(.frame(bytes), from, to) }
    }

    private func enqueue(_ parcel: Parcel, _ from: End, _ to: End) {
        let arrival = max(to.lastArrival + 1, world.now + world.delay(2 * World.millisecond))
        to.lastArrival = arrival
        to.coming.append(parcel)
        world.agenda.insert({ self.arrive(from, to) }, at: arrival)
    }

    /// The first of what is under way arrives, unless the direction is cut: then TCP sends it again, and all that follows
    /// waits behind it.
    private func arrive(_ from: End, _ to: End) {
        guard to.isOpen, !to.coming.isEmpty else { return }
        if world.isBlocked(from.name, to.name) || world.now < stalledUntil {
            return world.after(40 * World.millisecond) { self.arrive(from, to) }
        }
        switch to.coming.removeFirst() {
        case .end:
            to.isOpen = false
            to.closed()
        case .frame(let bytes):
            do throws(ProtocolError) {
                guard let message = try to.codec.decode(bytes) else { return }
                world.note("\(from.name) -> \(to.name): \(message.brief)")
                to.receive(message)
            } catch {
                world.checks.violate("\(to.name) cannot read a frame of \(from.name): \(error)")
            }
        }
    }

    /// One side closes, or its process is gone: the other learns of it unless it is cut off.
    func close(fromWorker: Bool) {
        let (from, to) = fromWorker ? (worker, coordinator) : (coordinator, worker)
        guard from.isOpen else { return }
        from.isOpen = false
        enqueue(.end, from, to)
    }

    /// It breaks in the middle: what is under way is lost, both sides see an error.
    func fail() {
        for end in [worker, coordinator] where end.isOpen {
            end.isOpen = false
            world.after(world.delay(World.millisecond)) { end.closed() }
        }
    }
}

extension Message {
    /// In few words, for traces.
    var brief: String {
        func list(_ grants: [ShardGrant]) -> String { grants.map { "\($0.shard).\($0.epoch)" }.joined(separator: " ") }
        switch self {
        case .hello(let hello):
            return "hello, claims \(hello.claims.map { "\($0.term):\($0.grant.shard).\($0.grant.epoch)" })"
        case .welcome(let welcome): return "welcome to term \(welcome.term)"
        case .heartbeat(let beat): return "heartbeat \(beat.number)"
        case .assign(let term, let grants): return "assign in \(term): \(list(grants))"
        case .revoke(let term, let grants): return "revoke in \(term): \(list(grants))"
        case .released(let term, let grants): return "released in \(term): \(list(grants))"
        case .records(let frame):
            return "records of target mask \(frame.targets): \(frame.keys.map(\.low)) grants \(list(frame.grants))"
        case .outcomes(let told):
            return
                "outcomes row \(told.row) target \(told.target) \(told.kind): \(told.keys.map(\.low)) \(list(told.grants))"
        case .settled(_, let row): return "settled through \(row)"
        default: return name
        }
    }
}
