# The fuzz targets for three minutes each (tests/fuzz.sh).
# timeout: 1200
FUZZ_SECONDS=${FUZZ_SECONDS:-180} bash "$TOP/tests/fuzz.sh"
