public import ExportCore
public import Model

/// Told what lanes do beside what they commit, and asked whether they may: for a worker that answers to somebody for
/// every record and may act only while that somebody knows of it.
///
/// Calls come from a lane while it works, so they must not wait. For one target they come in order, and a withdrawal
/// before any later commit of the same batch.
public protocol LaneListener: Sendable {
    /// Whether a request with what lies at these places may begin now: asked before each, with a fresh clock.
    func mayStart(target: Int, at now: Tick, _ stretches: () -> [BatchInFlight.Stretch]) -> Bool

    /// What lies there is carried no further and will not be settled. `target` counts as the worker's targets do.
    func withdrawn(target: Int, _ stretches: [BatchInFlight.Stretch])

    /// The first failed attempt of a batch: what of it is not settled yet. Attempts go on.
    func failed(target: Int, _ stretches: [BatchInFlight.Stretch], _ reason: Reason)
}
