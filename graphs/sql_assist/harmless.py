"""Functions that only compute: of each dialect, those that the parser has no type for.

Place in the path: asked by `reading` about calls whose names the parser merely passes on. A name
that is not here may read files, wait, lock, call other servers or change something; that nothing is
known of it is enough to refuse it where only reading was asked for. Names are in lower case.
"""


def _names(*lists: str) -> frozenset[str]:
    return frozenset(" ".join(lists).split())


MATHS = """
    abs acos acosh asin asinh atan atan2 atanh cbrt ceil ceiling cos cosh cot degrees exp floor ln
    log log10 log2 mod pi pow power radians round sign sin sinh sqrt tan tanh trunc
"""
TEXTS = """
    ascii bit_length char_length character_length chr concat concat_ws initcap instr left length
    lower lpad ltrim md5 octet_length position repeat replace reverse right rpad rtrim split_part
    strpos substr substring translate trim upper
"""
POSTGRESQL = """
    age array_cat array_dims array_fill array_length array_lower array_ndims array_position
    array_positions array_remove array_replace array_to_json array_to_string array_upper bit_and
    bit_count bit_or bit_xor btrim cardinality clock_timestamp convert_from convert_to cosd cotd
    date_bin date_part date_trunc daterange decode div encode enum_first enum_last enum_range erf
    every factorial format gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte
    int4range int8range isempty isfinite json_agg json_array_elements json_array_elements_text
    json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
    json_extract_path_text json_object json_object_agg json_object_keys json_populate_record
    json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
    jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match
    jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record
    jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lcm lower_inc
    lower_inf make_date make_interval make_time make_timestamp make_timestamptz min_scale multirange
    network normalize now num_nonnulls num_nulls numrange overlay pg_column_size pg_size_pretty
    pg_typeof phraseto_tsquery plainto_tsquery quote_ident quote_literal quote_nullable range_agg
    range_intersect_agg range_merge regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr row
    row_to_json scale setweight sha224 sha256 sha384 sha512 similarity sind st_area st_asgeojson
    st_astext st_buffer st_centroid st_contains st_distance st_dwithin st_geomfromtext
    st_intersection st_intersects st_length st_makepoint st_point st_setsrid st_transform st_within
    st_x st_y starts_with statement_timestamp string_to_array string_to_table strip tand text
    timeofday to_ascii to_char to_date to_hex to_json to_jsonb to_number to_timestamp to_tsquery
    to_tsvector transaction_timestamp trim_array trim_scale ts_headline ts_rank ts_rank_cd tsrange
    tstzrange tsvector_to_array unaccent unistr unnest upper_inc upper_inf websearch_to_tsquery
    width_bucket word_similarity xmlagg xmlconcat
"""
REDSHIFT = """
    add_months bpcharcmp charindex checksum convert_timezone crc32 dateadd datediff dexp dlog1
    dlog10 fnv_hash func_sha1 getdate interval_cmp is_valid_json is_valid_json_array
    json_extract_array_element_text json_parse json_serialize last_day len listagg months_between
    next_day nvl nvl2 object sha sha1 sha2 strtol sysdate textlen timezone to_varbyte
"""
MYSQL = """
    adddate addtime any_value bin bin_to_uuid bit_and bit_count bit_or bit_xor char charset
    coercibility conv convert_tz crc32 curdate curtime date_format dayname dayofmonth dayofweek
    dayofyear elt export_set field find_in_set format format_bytes from_base64 from_days
    from_unixtime get_format greatest grouping hex ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa
    insert interval is_ipv4 is_ipv4_mapped is_ipv6 is_uuid isnull json_array json_array_append
    json_array_insert json_arrayagg json_contains json_contains_path json_depth json_extract
    json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve json_object
    json_objectagg json_overlaps json_pretty json_quote json_remove json_replace json_schema_valid
    json_search json_set json_storage_size json_type json_unquote json_valid json_value last_day
    lcase least locate make_set makedate maketime microsecond mid monthname oct ord period_add
    period_diff quarter quote rand regexp_instr regexp_like regexp_replace regexp_substr row
    sec_to_time sha sha1 sha2 soundex space st_area st_asgeojson st_astext st_buffer st_centroid
    st_contains st_distance st_distance_sphere st_geomfromtext st_intersects st_length
    st_makeenvelope st_within st_x st_y std strcmp str_to_date subdate substring_index subtime
    sysdate time_format time_to_sec timediff timestampadd timestampdiff to_base64 to_days to_seconds
    truncate ucase unhex unix_timestamp utc_date utc_time utc_timestamp uuid uuid_to_bin values week
    weekday weekofyear weight_string yearweek
"""
SQLITE = """
    bm25 char date datetime format generate_series glob group_concat hex highlight ifnull iif json
    json_array json_array_length json_each json_error_position json_extract json_group_array
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_extract
    jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove
    jsonb_replace jsonb_set julianday like likelihood likely median nullif percentile printf quote
    random snippet soundex sqlite_version strftime string_agg time timediff total typeof unhex
    unicode unixepoch unlikely
"""
TSQL = """
    approx_count_distinct atn2 binary_checksum bit_count char charindex checksum checksum_agg choose
    compress count_big cume_dist datalength date_bucket dateadd datediff datediff_big datefromparts
    datename datepart datetime2fromparts datetimefromparts datetimeoffsetfromparts datetrunc
    decompress difference eomonth format generate_series get_bit getdate getutcdate greatest
    grouping_id hashbytes iif isdate isjson isnull isnumeric json_array json_modify json_object
    json_path_exists json_query json_value least left_shift len nchar newid parse parsename patindex
    quotename rand replicate right_shift row_number smalldatetimefromparts soundex space square
    stdev stdevp str string_agg string_escape string_split stuff switchoffset sysdatetime
    sysdatetimeoffset sysutcdatetime timefromparts todatetimeoffset try_parse unicode var varp
"""
ORACLE = """
    add_months asciistr bin_to_num bitand bitor cardinality collect compose decode decompose dump
    from_tz greatest grouping_id hextoraw instrb json_array json_arrayagg json_exists json_object
    json_objectagg json_query json_value last_day least lengthb listagg lnnvl median months_between
    nanvl new_time next_day nls_initcap nls_lower nls_upper numtodsinterval numtoyminterval nvl nvl2
    ora_hash ratio_to_report rawtohex regexp_count regexp_instr regexp_like regexp_replace
    regexp_substr remainder rowidtochar soundex standard_hash stats_mode substrb sys_connect_by_path
    sys_extract_utc sys_guid systimestamp table to_binary_double to_binary_float to_char to_clob
    to_date to_dsinterval to_nchar to_number to_timestamp to_timestamp_tz to_yminterval treat
    tz_offset unistr validate_conversion vsize width_bucket xmlagg xmlforest
"""
BIGQUERY = """
    approx_quantiles approx_top_count approx_top_sum array_concat array_length array_reverse
    array_to_string bit_count bool byte_length code_points_to_bytes contains_substr date_from_unix
    div edit_distance error farm_fingerprint format format_date format_datetime format_time
    format_timestamp generate_array generate_date_array generate_timestamp_array generate_uuid
    ieee_divide instr int64 is_inf is_nan json_array_length json_query json_query_array json_type
    json_value json_value_array justify_days justify_hours last_day lax_bool lax_float64 lax_int64
    lax_string normalize normalize_and_casefold offset ordinal parse_date parse_datetime parse_json
    parse_time parse_timestamp rand range range_bucket range_contains range_end range_overlaps
    range_start regexp_contains regexp_extract regexp_instr regexp_substr safe_offset safe_ordinal
    session_user sha1 sha256 sha512 st_area st_asgeojson st_astext st_contains st_distance
    st_dwithin st_geogfromtext st_geogpoint st_intersects st_length st_within st_x st_y
    timestamp_micros timestamp_millis timestamp_seconds to_code_points to_hex to_json to_json_string
    unix_date
"""
SNOWFLAKE = """
    approx_count_distinct array_agg array_cat array_construct array_contains array_distinct
    array_flatten array_intersection array_size array_slice as_array as_char as_date as_double
    as_integer as_object as_varchar booland_agg boolor_agg charindex check_json check_xml collate
    date_from_parts dateadd datediff datediff_big dayname div0 div0null editdistance endswith
    equal_null flatten get get_path haversine hash hash_agg iff ifnull insert is_array is_boolean
    is_date is_integer is_null_value is_object is_varchar json_extract_path_text len listagg
    monthname nullifzero nvl nvl2 object_agg object_construct object_construct_keep_null
    object_delete object_keys parse_xml rlike sha1 sha2 split st_astext st_contains st_distance
    st_dwithin st_makepoint st_within strip_null_value strtok_to_array sysdate time_from_parts
    timestamp_from_parts to_array to_binary to_boolean to_date to_decimal to_double to_geography
    to_json to_number to_numeric to_object to_time to_timestamp to_timestamp_ltz to_timestamp_ntz
    to_timestamp_tz to_varchar to_variant to_xml try_parse_json try_to_boolean try_to_date
    try_to_decimal try_to_double try_to_number try_to_numeric try_to_time try_to_timestamp
    try_to_timestamp_ntz uuid_string zeroifnull
"""
SPARK = """
    add_months aggregate any any_value approx_percentile array_append array_contains array_distinct
    array_except array_insert array_intersect array_join array_max array_min array_position
    array_remove array_repeat array_size array_sort array_union arrays_overlap arrays_zip base64 bin
    bit_count bool_and bool_or bround btrim char collect_list collect_set conv corr crc32 curdate
    date_format date_from_unix_date dayofmonth dayofweek dayofyear decode element_at elt encode
    equal_null every exists explode explode_outer expm1 factorial filter find_in_set flatten forall
    format_number format_string from_csv from_json from_unixtime from_utc_timestamp get
    get_json_object grouping_id hash hex histogram_numeric hypot ifnull inline inline_outer
    input_file_name isnan isnotnull isnull json_array_length json_object_keys json_tuple kurtosis
    last_day levenshtein locate log1p luhn_check make_date make_timestamp map_concat map_entries
    map_filter map_from_arrays map_from_entries map_keys map_values map_zip_with max_by md5 min_by
    monotonically_increasing_id months_between named_struct nanvl negative next_day now nvl nvl2
    parse_url percentile percentile_approx pmod posexplode posexplode_outer positive printf rand
    randn range regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like
    regexp_substr rint schema_of_json sentences sequence sha sha1 sha2 shuffle size skewness slice
    some sort_array soundex space spark_partition_id split stack str_to_map substring_index to_char
    to_csv to_date to_json to_number to_timestamp to_unix_timestamp to_utc_timestamp transform
    transform_keys transform_values trunc try_add try_avg try_divide try_element_at try_multiply
    try_subtract try_sum try_to_number try_to_timestamp typeof ucase unbase64 unhex unix_date
    unix_micros unix_millis unix_seconds unix_timestamp url_decode url_encode uuid weekday
    weekofyear width_bucket window xxhash64 zip_with
"""
TRINO = """
    all_match any_match approx_distinct approx_percentile approx_set arbitrary array_agg
    array_average array_distinct array_except array_has_duplicates array_intersect array_join
    array_max array_min array_position array_remove array_sort array_sum array_union arrays_overlap
    at_timezone bing_tile bit_count bitwise_and bitwise_not bitwise_or bitwise_xor bool_and bool_or
    cardinality char2hexint checksum codepoint color combinations concat contains cosine_similarity
    count_if crc32 date date_format date_parse day_of_month day_of_week day_of_year element_at
    empty_approx_set every filter flatten format format_datetime format_number from_base from_base64
    from_big_endian_64 from_hex from_iso8601_date from_iso8601_timestamp from_unixtime from_utf8
    geometric_mean great_circle_distance hamming_distance histogram hmac_sha256
    human_readable_seconds infinity is_finite is_infinite is_json_scalar is_nan json_array
    json_array_contains json_array_get json_array_length json_exists json_extract
    json_extract_scalar json_format json_object json_parse json_query json_size json_value
    last_day_of_month levenshtein_distance listagg luhn_check map map_agg map_concat map_entries
    map_filter map_from_entries map_keys map_union map_values map_zip_with max_by millisecond min_by
    multimap_agg nan ngrams none_match normalize numeric_histogram parse_datetime parse_duration
    quarter rand random reduce reduce_agg regexp_count regexp_extract regexp_extract_all regexp_like
    regexp_position regexp_replace regexp_split sequence sha1 sha256 sha512 shuffle skewness slice
    soundex split split_to_map st_area st_astext st_contains st_distance st_geometryfromtext
    st_intersects st_point st_within st_x st_y starts_with strpos table timezone_hour
    timezone_minute to_base to_base64 to_hex to_iso8601 to_json to_milliseconds to_unixtime to_utf8
    transform transform_keys transform_values trim_array truncate typeof url_decode url_encode
    url_extract_fragment url_extract_host url_extract_parameter url_extract_path url_extract_port
    url_extract_protocol url_extract_query uuid week week_of_year width_bucket with_timezone
    word_stem xxhash64 year_of_week zip zip_with
"""
DUCKDB = """
    age any_value approx_count_distinct approx_quantile arbitrary arg_max arg_min array_agg
    array_aggr array_append array_cat array_concat array_contains array_cosine_similarity
    array_distance array_distinct array_extract array_has array_has_all array_has_any array_indexof
    array_inner_product array_length array_position array_prepend array_reverse_sort array_slice
    array_sort array_to_string array_transform array_unique array_value bar base64 bin bit_and
    bit_count bit_or bit_xor bool_and bool_or contains countif century count_star
    damerau_levenshtein date_add date_diff date_part date_sub datepart datesub datetrunc dayname
    dayofmonth dayofweek dayofyear decade element_at ends_with entropy enum_range epoch epoch_ms
    epoch_ns epoch_us equi_width_bins era even favg first flatten format from_base64 fsum gamma gcd
    gen_random_uuid generate_series generate_subscripts geomean greatest greatest_common_divisor
    hamming hash hex histogram ifnull isfinite isinf isnan isodow isoyear jaccard jaro_similarity
    jaro_winkler_similarity json json_array json_array_length json_contains json_each json_extract
    json_extract_path json_extract_string json_group_array json_group_object json_group_structure
    json_keys json_merge_patch json_object json_structure json_transform json_tree json_type
    json_valid julian kurtosis last last_day lcase lcm least levenshtein lgamma list list_aggregate
    list_append list_concat list_contains list_count list_cosine_similarity list_distance
    list_distinct list_element list_extract list_filter list_has list_has_all list_has_any
    list_indexof list_inner_product list_max list_min list_position list_prepend list_reduce
    list_reverse list_reverse_sort list_slice list_sort list_sum list_transform list_unique
    list_value list_zip mad make_date make_time make_timestamp map map_concat map_contains
    map_entries map_extract map_from_entries map_keys map_values max_by median microsecond
    millennium millisecond min_by mode monthname nextafter nfc_normalize now ord parse_dirname
    parse_filename prefix printf product quantile quantile_cont quantile_disc quarter random range
    regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table reservoir_quantile row row_to_json sem sha1 sha256
    skewness split starts_with str_split str_split_regex strftime strip_accents strlen strptime
    struct_extract struct_insert struct_pack substring_grapheme suffix sumkahan time_bucket timezone
    to_base to_base64 to_days to_hours to_json to_microseconds to_milliseconds to_minutes to_months
    to_seconds to_timestamp to_weeks to_years today trim try_strptime typeof ucase unbin unhex
    unicode union_extract union_tag union_value unnest url_decode url_encode uuid week weekday
    weekofyear xor yearweek
"""
CLICKHOUSE = """
    addDays addHours addMinutes addMonths addQuarters addSeconds addWeeks addYears arrayAll arrayAvg
    arrayConcat arrayCount arrayCumSum arrayDifference arrayDistinct arrayElement arrayEnumerate
    arrayEnumerateUniq arrayExists arrayFilter arrayFirst arrayFirstIndex arrayFlatten
    arrayIntersect arrayJoin arrayLast arrayMap arrayMax arrayMin arrayPopBack arrayPopFront
    arrayProduct arrayPushBack arrayPushFront arrayReduce arrayResize arrayReverse arraySlice
    arraySort arrayStringConcat arraySum arrayUniq arrayZip assumeNotNull bitAnd bitNot bitOr
    bitShiftLeft bitShiftRight bitXor caseWithExpression cityHash64 concatWithSeparator countEqual
    countSubstrings cutQueryString dateDiff dateName dateTrunc dictGet dictGetOrDefault dictHas
    divide domain domainWithoutWWW dumpColumnStructure empty endsWith equals exp10 exp2 extractAll
    extractURLParameter farmHash64 format formatDateTime formatReadableSize formatReadableTimeDelta
    fromUnixTimestamp fromUnixTimestamp64Milli generate_series generateUUIDv4 greatCircleDistance
    greater greaterOrEquals halfMD5 has hasAll hasAny hasSubstr hasToken hex ifNotFinite ifNull
    indexOf intDiv intDivOrZero isFinite isInfinite isNaN isNotNull isNull JSON_VALUE
    JSONExtractArrayRaw JSONExtractBool JSONExtractFloat JSONExtractInt JSONExtractKeys
    JSONExtractKeysAndValues JSONExtractRaw JSONExtractString JSONExtractUInt JSONHas JSONLength
    JSONType lagInFrame leadInFrame lcm less lessOrEquals lowerUTF8 map mapAdd mapContains mapFilter
    mapKeys mapValues match materialize minus modulo multiply multiIf multiSearchAny neighbor
    ngramDistance not notEmpty notEquals now64 nullIf numbers numbers_mt parseDateTimeBestEffort
    parseDateTimeBestEffortOrNull path plus positionCaseInsensitive protocol queryString rand rand32
    rand64 range regexpExtract replaceAll replaceOne replaceRegexpAll replaceRegexpOne retention
    roundBankers roundDown roundToExp2 rowNumberInAllBlocks runningAccumulate runningDifference
    sequenceCount sequenceMatch sipHash64 splitByChar splitByRegexp splitByString startsWith
    stringToH3 subtractDays subtractHours subtractMinutes subtractMonths subtractWeeks subtractYears
    sumMap timeSlot timeSlots toDate toDate32 toDateOrNull toDateTime toDateTime64 toDateTimeOrNull
    toDayOfMonth toDayOfWeek toDayOfYear toDecimal128 toDecimal32 toDecimal64 toFixedString
    toFloat32 toFloat64 toFloat64OrNull toFloat64OrZero toHour toInt16 toInt32 toInt32OrNull
    toInt32OrZero toInt64 toInt64OrNull toInt64OrZero toInt8 toIPv4 toIPv6 toISOWeek toISOYear
    toIntervalDay toIntervalHour toIntervalMinute toIntervalMonth toIntervalSecond toIntervalWeek
    toIntervalYear toJSONString toLowCardinality toMinute toMonday toMonth toNullable toQuarter
    toRelativeDayNum toSecond toStartOfDay toStartOfFifteenMinutes toStartOfFiveMinutes
    toStartOfHour toStartOfInterval toStartOfMinute toStartOfMonth toStartOfQuarter toStartOfWeek
    toStartOfYear toString toStringCutToZero toTime toTimeZone toTypeName toUInt16 toUInt32 toUInt64
    toUInt8 toUUID toUnixTimestamp toWeek toYYYYMM toYYYYMMDD toYear toYearWeek today topLevelDomain
    transform trimBoth trimLeft trimRight tuple tupleElement uniqTheta upperUTF8 windowFunnel xor
    xxHash64 yesterday zeros
""".lower()

HARMLESS: dict[str, frozenset[str]] = {
    "postgres": _names(MATHS, TEXTS, POSTGRESQL),
    "redshift": _names(MATHS, TEXTS, POSTGRESQL, REDSHIFT),
    "mysql": _names(MATHS, TEXTS, MYSQL),
    "sqlite": _names(MATHS, TEXTS, SQLITE),
    "tsql": _names(MATHS, TEXTS, TSQL),
    "oracle": _names(MATHS, TEXTS, ORACLE),
    "bigquery": _names(MATHS, TEXTS, BIGQUERY),
    "snowflake": _names(MATHS, TEXTS, SNOWFLAKE),
    "spark": _names(MATHS, TEXTS, SPARK),
    "databricks": _names(MATHS, TEXTS, SPARK),
    "hive": _names(MATHS, TEXTS, SPARK),
    "trino": _names(MATHS, TEXTS, TRINO),
    "presto": _names(MATHS, TEXTS, TRINO),
    "duckdb": _names(MATHS, TEXTS, DUCKDB),
    "clickhouse": _names(MATHS, TEXTS, CLICKHOUSE),
}
