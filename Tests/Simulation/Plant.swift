/// Mistakes planted into the cluster, each of which the checks must find.
enum Plant: String, CaseIterable {
    /// A worker goes on after its lease.
    case skipFencing
    /// A worker that may act again sends what it is to withdraw until its lanes hear of that.
    case resumeBeforeWithdrawal
    /// A worker tells of what its ledger does not hold yet.
    case tellBeforeCommit
    /// A worker releases a shard and goes on with its records.
    case releaseAtOnce
    /// A new leader gives shards away that workers of the last one may still hold.
    case noWaitAfterTakeOver
    /// A worker counts as dead as soon as it is silent.
    case deadAtOnce
    /// A leader goes on after its lease.
    case actAfterLease
    /// A time-out counts as success.
    case unknownIsSuccess
    /// The leader lets workers forget before it has written.
    case settledBeforeWritten
    /// A worker starts without what its ledger holds.
    case forgetfulLedger
    /// The gate opens though nobody acknowledged.
    case openWithoutAcknowledgement
    /// Every leader raises an alert of its own.
    case alertPerLeader
    /// The feed leaves a page out.
    case loseAPage
    /// Workers say of every claim that its lease lasts.
    case alwaysVouched
    /// Workers wait for answers beyond the margin.
    case neverCutOff
    /// The gate's record says open, whatever the gate decides.
    case gateNeverCloses
    /// Once closed, the gate stays closed, whoever acknowledged.
    case gateStaysClosed
    /// A worker that fails alone is not shunned.
    case neverShun
    /// A shard is given to nobody.
    case forgetAShard
    /// What a former owner says of a failure counts as the owner's word.
    case believeFormerOwners
    /// The feed waits for the slowest target.
    case waitForAllTargets
    /// A worker tells of rows that its ledger refused.
    case tellWhatWasRefused
    /// A worker whose ledger takes nothing keeps its shards.
    case keepShardsWithoutLedger
    /// What waits counts as known though results cannot be read.
    case silentFeedIsFine
    /// A lease that somebody emptied counts as given back by its holder.
    case emptiedIsGivenBack
    /// The feed reads on though there is no room.
    case feedWithoutRoom
    /// A worker takes ten times what it may hold.
    case boundlessWindow
    /// A renewal that was answered too late counts from then.
    case lateRenewalCounts
    /// What was told of a file that cannot be read waits for it.
    case waitForWhatCannotBeRead
    /// A watch whose past is forgotten goes on with the present.
    case watchOnAfterGone
    /// A list whose moment is forgotten counts as read to its end.
    case endLongListsAtGone
    /// Results are patched whatever has become of them since they were read.
    case patchOverConflicts
    /// A result is called exported as soon as one target has it.
    case exportedTooEarly
    /// A result that the API server does not take holds up all others.
    case neverPutAside
    /// What became of results that no page had waits for their target's list.
    case neverSeek
    /// What was put aside does not count as waiting.
    case forgetWhatIsAside
    /// A worker says nothing of what was delivered beside it.
    case silentRevival
    /// A record's bytes go out under the name of the one before.
    case mixUpRecords
    /// What breaks or is mended while the gate is shut is told to nobody.
    case tellOnlyStates
    /// As long as lists work, a watch that does not is no trouble.
    case silentWatchIsFine

    /// Where the search for one that is rare begins: so many histories before were searched in vain.
    var rareUntil: UInt64 {
        switch self {
        case .lateRenewalCounts: 2_040
        case .alwaysVouched: 4_200
        case .believeFormerOwners, .resumeBeforeWithdrawal: 450
        case .boundlessWindow: 640
        case .deadAtOnce: 180
        case .endLongListsAtGone, .noWaitAfterTakeOver: 110
        default: 0
        }
    }
}
