from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TweetLite(_message.Message):
    __slots__ = ("tweet_id", "user_id")
    TWEET_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    tweet_id: int
    user_id: int
    def __init__(self, tweet_id: _Optional[int] = ..., user_id: _Optional[int] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("highest_tweet_id",)
    HIGHEST_TWEET_ID_FIELD_NUMBER: _ClassVar[int]
    highest_tweet_id: int
    def __init__(self, highest_tweet_id: _Optional[int] = ...) -> None: ...

class Elements(_message.Message):
    __slots__ = ("tweet_id", "user_id", "highest_tweet_id")
    TWEET_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_TWEET_ID_FIELD_NUMBER: _ClassVar[int]
    tweet_id: _containers.RepeatedScalarFieldContainer[int]
    user_id: _containers.RepeatedScalarFieldContainer[int]
    highest_tweet_id: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, tweet_id: _Optional[_Iterable[int]] = ..., user_id: _Optional[_Iterable[int]] = ..., highest_tweet_id: _Optional[_Iterable[int]] = ...) -> None: ...
