"""Which operations of a graph do more than compute?

A SavedModel runs with the rights of whoever loads it. What its operations may do besides computing
is written down here, for TensorFlow 2.20 and TensorFlow Text 2.20. An operation with a state is
refused unless it is known to keep that state in memory; one without is taken to compute only,
unless it stands in a table below: what TensorFlow declares stateless may still open files.
"""

from __future__ import annotations

import re
from typing import Any

_WRITES = 'writes files'
_RUNS = 'runs code that is not in the graph'
_READS = 'reads files'
_NETWORK = 'talks to other machines'

# Operations that are refused whatever their inputs are.
_ALWAYS = {
    **dict.fromkeys((
        'WriteFile', 'Save', 'SaveSlices', 'SaveV2', 'DistributedSave', 'MergeV2Checkpoints',
        'DatasetToTFRecord', 'ExperimentalDatasetToTFRecord', 'SaveDataset', 'SaveDatasetV2',
        'SnapshotDataset', 'SnapshotDatasetV2', 'DumpTensor', 'SummaryWriter',
        'CreateSummaryFileWriter', 'CreateSummaryDbWriter', 'CloseSummaryWriter',
        'FlushSummaryWriter', 'ImportEvent', 'StatsAggregatorSetSummaryWriter',
        'WriteAudioSummary', 'WriteGraphSummary', 'WriteHistogramSummary', 'WriteImageSummary',
        'WriteRawProtoSummary', 'WriteScalarSummary', 'WriteSummary',
        # To a file or a server, by their attribute debug_urls.
        'DebugIdentity', 'DebugIdentityV2', 'DebugIdentityV3', 'DebugNanCount',
        'DebugNumericSummary'), _WRITES),
    **dict.fromkeys((
        'PyFunc', 'PyFuncStateless', 'EagerPyFunc', 'XlaCustomCall', 'XlaCustomCallV2',
        'XlaCallModule', 'XlaHostCompute', '_XlaHostComputeMlir', '_TPUCompileMlir', 'TPUCompile',
        'TRTEngineOp', 'MlirPassthroughOp',
        'DatasetFromGraph',  # The graph is a string and may hold anything.
    ), _RUNS),
    **dict.fromkeys((
        'RemoteCall', 'RpcCall', 'RpcClient', 'RpcServer', 'RpcServerStart', 'RpcServerRegister',
        'RegisterDataset', 'RegisterDatasetV2', 'DataServiceDataset', 'DataServiceDatasetV2',
        'DataServiceDatasetV3', 'DataServiceDatasetV4', 'Send', 'Recv', '_Send', '_Recv',
        '_HostSend', '_HostRecv'), _NETWORK),
    **dict.fromkeys((
        # Files named by an attribute, or by strings that come out of a queue.
        'ImmutableConst', 'RecordInput', 'Skipgram', 'ReaderRead', 'ReaderReadV2', 'ReaderReadUpTo',
        'ReaderReadUpToV2', 'SqlDataset', 'ExperimentalSqlDataset', 'DTensorRestoreV2'), _READS),
    'FileSystemSetConfiguration': 'changes how this process reaches its files',
    'Abort': 'ends the process',
}  # fmt: skip

# Operations that read the files which these of their inputs name.
READ_PATHS: dict[str, tuple[int, ...]] = {
    'ReadFile': (0,), 'MatchingFiles': (0,), 'MatchingFilesDataset': (0,),
    'ExperimentalMatchingFilesDataset': (0,), 'TextLineDataset': (0,), 'TFRecordDataset': (0,),
    'TFRecordDatasetV2': (0,), 'FixedLengthRecordDataset': (0,), 'FixedLengthRecordDatasetV2': (0,),
    'CSVDataset': (0,), 'CSVDatasetV2': (0,), 'ExperimentalCSVDataset': (0,), 'LMDBDataset': (0,),
    'ExperimentalLMDBDataset': (0,), 'LoadDataset': (0,), 'SnapshotChunkDataset': (0,),
    'SnapshotDatasetReader': (0,), 'ListSnapshotChunksDataset': (0,),
    'InitializeTableFromTextFile': (1,), 'InitializeTableFromTextFileV2': (1,),
    'Restore': (0,), 'RestoreSlice': (0,), 'RestoreV2': (0,),
    'GenerateVocabRemapping': (0, 1), 'LoadAndRemapMatrix': (0,),
}  # fmt: skip

# Operations that write a file if this input names one, and use memory if it is ''.
CACHE_PATHS: dict[str, int] = {'CacheDataset': 1, 'CacheDatasetV2': 1}

# What a saver's own functions may use besides, and which inputs name the files.
SAVER_PATHS: dict[str, tuple[int, ...]] = {
    'Save': (0,), 'SaveSlices': (0,), 'SaveV2': (0,), 'MergeV2Checkpoints': (0, 1),
    'Restore': (0,), 'RestoreSlice': (0,), 'RestoreV2': (0,),
}  # fmt: skip

# Operations with a state that stays in memory.
_HARMLESS = re.compile('|'.join((
    # Variables.
    r'(Resource)?(Scatter|Apply|SparseApply)\w+', r'ResourceGather(Nd)?', r'\w*VarHandles?Op',
    r'VarIsInitializedOp', r'VariableShape', r'Variable(V2)?', r'TemporaryVariable',
    r'_?ReadVariables?Op', r'Assign(Add|Sub)?VariableOp', r'ResourceStridedSliceAssign',
    r'ResourceCountUpTo', r'Resource\w*Accumulator\w*', r'DisableCopyOnRead', r'DestroyResourceOp',
    r'MakeWeakResourceHandle', r'IsResourceHandleRefCounting',
    # Calls. The functions are looked into themselves.
    r'_?(If|While)', r'Case', r'StatefulPartitionedCall', r'_(Device)?(Arg|Retval)',
    # Random numbers.
    r'Random\w+', r'Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)\w*',
    r'Rng(ReadAnd)?Skip', r'StatelessRandomGetAlg', r'Multinomial', r'(Parameterized)?Truncated'
    r'Normal', r'NonDeterministicInts', r'\w*SeedGenerator', r'\w*CandidateSampler',
    r'SampleDistortedBoundingBox(V2)?',
    # Tables; a file that fills one is looked at with READ_PATHS.
    r'(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?', r'LookupTable\w+V2',
    r'InitializeTable(V2|FromDataset|FromTextFileV2)',
    # Queues, stacks, arrays, stages, locks.
    r'(FIFO|PaddingFIFO|Priority|RandomShuffle)Queue(V2)?', r'Queue\w+V2', r'Stack\w*',
    r'TensorArray\w*', r'(Ordered)?Map(Clear|IncompleteSize|Peek|Size|Stage|Unstage(NoKey)?)',
    r'Stage(Clear|Peek|Size)?', r'Unstage', r'Barrier', r'Mutex(V2|Lock)', r'ConsumeMutexLock',
    r'(Sparse)?ConditionalAccumulator', r'(Add(Many)?Sparse|TakeManySparse)\w+TensorsMap',
    # Datasets; those that read files are in READ_PATHS.
    r'(Range|Tensor|TensorSlice|SparseTensorSlice|Generator|List|Shuffle|ShuffleAndRepeat|'
    r'GlobalShuffle|GroupByReducer|Reduce|ThreadPool)Dataset(V\d)?', r'DatasetToSingleElement',
    r'(OneShot|Anonymous|MultiDevice|AnonymousMultiDevice)?Iterator(V\d)?', r'MakeIterator',
    r'Iterator(GetNext\w*|ToStringHandle|GetDevice)', r'Delete(MultiDevice)?Iterator',
    r'\w*MemoryCache', r'ThreadPoolHandle',
    # Messages and checks. Where PrintV2 writes to is in its attribute.
    r'Assert', r'Print(V2)?', r'CheckNumerics(V2)?', r'Timestamp', r'GuaranteeConst', r'Empty',
    r'DeepCopy', r'DeviceIndex', r'SyncDevice', r'CudnnRNN\w*',
    # TensorFlow Text: tokenizers whose model is in the graph.
    r'Sentencepiece\w+', r'WordpieceTokenizeWithOffsets',
)))  # fmt: skip


def effect(node: Any) -> str:
  """What an operation does besides computing, for a message; '' if nothing.

  Args:
    node: NodeDef of an operation that is no call of a function in the graph's library. Files that
      are named by an input are not looked at, see READ_PATHS and CACHE_PATHS.
  """
  if node.op in _ALWAYS:
    return _ALWAYS[node.op]
  if node.op in READ_PATHS or node.op in CACHE_PATHS:
    return ''
  by_attribute = _effect_of_attributes(node)
  if by_attribute:
    return by_attribute
  definition = _definition(node.op)
  if definition is None:
    return 'is no operation of TensorFlow or TensorFlow Text'
  if definition.is_stateful and not _HARMLESS.fullmatch(node.op):
    return 'has side effects that are not known to be harmless'
  return ''


def is_known(op: str) -> bool:
  """Whether it is an operation of TensorFlow or TensorFlow Text."""
  return _definition(op) is not None


def _effect_of_attributes(node: Any) -> str:
  if node.op == 'PrintV2':
    stream = node.attr['output_stream'].s.decode(errors='replace')
    return _WRITES if stream.startswith('file://') else ''
  if node.op == 'FixedUnigramCandidateSampler' and node.attr['vocab_file'].s:
    return _READS
  if node.op in ('DecodeProtoV2', 'EncodeProto'):
    source = node.attr['descriptor_source'].s
    return '' if source in (b'', b'local://') or source.startswith(b'bytes://') else _READS
  return ''


def _definition(op: str) -> Any:
  from tensorflow.python.framework import op_def_registry

  found = op_def_registry.get(op)
  if found is None:
    import tensorflow_text  # noqa: F401 - It registers its operations.

    found = op_def_registry.get(op)
  return found
