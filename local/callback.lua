-- Orthanc reports each exam that has been quiet for StableAge seconds to POST /new-exam-callback, as a modality's PACS
-- would. The address and the key are in the file that `make up` writes; while it is not there, nothing is reported.

local function settings()
  local values = {}
  local file = io.open(GetOrthancConfiguration()['NewExamCallback']['EnvFile'], 'r')
  if file == nil then
    return nil
  end
  for line in file:lines() do
    local name, value = line:match("^([A-Z_]+)='?([^']*)'?$")
    if name then
      values[name] = value
    end
  end
  file:close()
  return values
end

local function report(studyId, tags)
  local statistics = ParseJson(RestApiGet('/studies/' .. studyId .. '/statistics'))
  local patient = ParseJson(RestApiGet('/studies/' .. studyId))['PatientMainDicomTags']
  local modalities, seen = {}, {}
  for _, series in pairs(ParseJson(RestApiGet('/studies/' .. studyId .. '/series'))) do
    local modality = series['MainDicomTags']['Modality']
    if modality and not seen[modality] then
      seen[modality] = true
      table.insert(modalities, modality)
    end
  end
  return {
    SourceID = 'orthanc',
    StudyInstanceUID = tags['StudyInstanceUID'],
    AccessionNumber = tags['AccessionNumber'],
    PatientID = patient['PatientID'],
    StudyDate = tags['StudyDate'],
    StudyTime = tags['StudyTime'],
    StudyID = tags['StudyID'],
    NumberOfStudyRelatedSeries = string.format('%d', statistics['CountSeries']),
    NumberOfStudyRelatedInstances = string.format('%d', statistics['CountInstances']),
    ModalitiesInStudy = table.concat(modalities, '\\'),
    EventType = 'STABLE'
  }
end

function OnStableStudy(studyId, tags, metadata)
  local env = settings()
  if env == nil or env['API_URL'] == nil then
    print('New-exam callback: the service is not up, exam not reported')
    return
  end
  local headers = { ['Authorization'] = 'Bearer ' .. env['CALLBACK_KEY'], ['Content-Type'] = 'application/json' }
  HttpPost(env['API_URL'] .. '/new-exam-callback', DumpJson(report(studyId, tags), true), headers)
end
